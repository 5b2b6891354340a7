# The connector. Both stages begin from BASE, which must have Python 3.11 or newer with pip, and CA certificates.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
RUN ["python", "-m", "venv", "--without-pip", "/opt/zendesk-chat-kafka/venv"]
COPY requirements.lock ./
RUN ["python", "-m", "pip", "--python", "/opt/zendesk-chat-kafka/venv/bin/python", "install", "--no-cache-dir", "--require-hashes", "--only-binary=:all:", "-r", "requirements.lock"]
# The demo's embedded broker is in the lock file and has no place in production. Without a shell two steps stay two.
# hadolint ignore=DL3059
RUN ["python", "-m", "pip", "--python", "/opt/zendesk-chat-kafka/venv/bin/python", "uninstall", "--yes", "noida-db"]
COPY schemas /opt/zendesk-chat-kafka/schemas
COPY connector /opt/zendesk-chat-kafka/connector
COPY LICENSE /opt/zendesk-chat-kafka/LICENSE
RUN ["python", "-m", "compileall", "-q", "/opt/zendesk-chat-kafka/connector"]

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="zendesk-chat-kafka" \
      org.opencontainers.image.description="Zendesk Chat real-time metrics into Kafka, exactly as received" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/zendesk-chat-kafka /opt/zendesk-chat-kafka
ENV PATH=/opt/zendesk-chat-kafka/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/zendesk-chat-kafka \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /opt/zendesk-chat-kafka
USER 10001:10001
EXPOSE 8090
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "connector"]
CMD ["run"]
