# Redis with the one user of all services. Built from the project's root.
FROM redis:7.4-bookworm
LABEL org.opencontainers.image.title="quorum-redis" \
      org.opencontainers.image.licenses="Apache-2.0"
USER root
RUN install -d -o 10001 -g 10001 /redis
USER 10001:10001
WORKDIR /redis
# The password comes from a file and goes to Redis on standard input, so that no list of processes shows it.
CMD ["sh", "-c", "exec redis-server - --appendonly yes --save '' --dir /redis <<END\nrequirepass $(cat /run/secrets/redis_password)\nEND"]
