# The server of crudjt; docs/server.md says how to run it, tools/test-container tests it.
ARG BASE=python:3.13-slim
FROM ${BASE} AS build
WORKDIR /src
COPY . .
# On Alpine lmdb has no wheel, and is compiled.
RUN if command -v apk >/dev/null; then apk add --no-cache build-base patch; fi \
    && python -m venv /opt/crudjt \
    && /opt/crudjt/bin/pip install --no-cache-dir --require-hashes -r requirements/server.txt \
    && /opt/crudjt/bin/pip install --no-cache-dir --no-deps . \
    && /opt/crudjt/bin/pip uninstall --yes pip

FROM ${BASE}
COPY --from=build /opt/crudjt /opt/crudjt
# As groupadd and useradd do, which Alpine has not.
RUN echo 'crudjt:x:10001:' >>/etc/group \
    && echo 'crudjt:x:10001:10001::/app:/usr/sbin/nologin' >>/etc/passwd \
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
