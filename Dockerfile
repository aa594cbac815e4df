# The server of crudjt; docs/server.md says how to run it, tools/test-container tests it.
ARG BASE=python:3.13-slim
FROM ${BASE} AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/crudjt \
    && /opt/crudjt/bin/pip install --no-cache-dir '.[grpc,metrics,valkey]' \
    && /opt/crudjt/bin/pip uninstall --yes pip

FROM ${BASE}
COPY --from=build /opt/crudjt /opt/crudjt
RUN groupadd --gid 10001 crudjt \
    && useradd --no-log-init --uid 10001 --gid 10001 --home-dir /app crudjt \
    && mkdir -p /app/store_jt /app/secrets /run/crudjt \
    && chown -R 10001:10001 /app /run/crudjt
# By number, so that Kubernetes can verify runAsNonRoot.
USER 10001:10001
WORKDIR /app
ENV PATH=/opt/crudjt/bin:$PATH \
    CRUDJT_STORE=/app/store_jt \
    CRUDJT_LISTEN="unix:/run/crudjt/socket 127.0.0.1:50051"
VOLUME ["/app/store_jt", "/run/crudjt"]
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s \
    CMD ["crudjt", "--store", "unix:/run/crudjt/socket", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["crudjt"]
CMD ["serve"]
