"""Device bound sessions (DBSC): a session cookie that is of use only with a key that the browser's device keeps."""
