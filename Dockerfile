# The image of one Sluicegate replica: the binary, and nothing that it does not need.

FROM rust:1.95-slim-bookworm AS build
# mimalloc is written in C.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package sluicegate

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --no-create-home sluicegate
COPY --from=build /src/target/release/sluicegate /usr/local/bin/sluicegate
USER sluicegate
EXPOSE 8080 8081
# A replica drains on SIGTERM. Its settings come in a volume: see docker-compose.yml.
STOPSIGNAL SIGTERM
CMD ["sluicegate", "serve", "-c", "/etc/sluicegate/sluicegate.yaml"]
