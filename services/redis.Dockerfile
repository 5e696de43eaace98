# Redis, run by the same user as all services. Build it from the project's root.
FROM redis:7.4-bookworm
LABEL org.opencontainers.image.title="quorum-redis" \
      org.opencontainers.image.licenses="Apache-2.0"
USER root
RUN install -d -o 10001 -g 10001 /redis
USER 10001:10001
WORKDIR /redis
# The password is read from a file and passed to Redis on standard input, so that no process list shows it.
CMD ["sh", "-c", "exec redis-server - --appendonly yes --save '' --dir /redis <<END\nrequirepass $(cat /run/secrets/redis_password)\nEND"]
