// A provider with one client. Arguments: its port, where the browser returns to, and where logout tokens go to.
import { Provider } from "oidc-provider";

const [port, redirectUri, logoutUri] = process.argv.slice(2);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "shop",
      client_secret: "a secret of the tests",
      redirect_uris: [redirectUri],
      backchannel_logout_uri: logoutUri,
      backchannel_logout_session_required: true,
    },
  ],
  features: { backchannelLogout: { enabled: true }, devInteractions: { enabled: true } },
  cookies: { keys: ["of the tests"] },
});
provider.on("backchannel.success", () => console.log("the application has answered"));
provider.on("backchannel.error", (_, error) => console.log(`the application has refused: ${error.message}`));
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
