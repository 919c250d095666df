# One Dockerfile for all images.
#   docker build -t agentsession/operator:dev .
#   docker build -t agentsession/gateway:dev --target gateway --build-arg PROGRAM=./cmd/gateway .
#   docker build -t agentsession/agents:dev --target agents --build-arg PROGRAM=./examples/agents .
# Where no registry is in reach, BINARY=prebuilt takes a static binary named
# "program" from the build context instead (hack/cluster does that).
ARG BINARY=built

FROM golang:1.26 AS built
WORKDIR /src
COPY go.mod go.sum ./
COPY agent-runtime/go.mod agent-runtime/go.sum agent-runtime/
RUN go mod download
COPY . .
ARG PROGRAM=./cmd/operator
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /program ${PROGRAM}

FROM scratch AS prebuilt
COPY program /program

FROM ${BINARY} AS binary

FROM scratch AS agents
COPY --from=binary /program /agents
USER 65532:65532
ENTRYPOINT ["/agents"]

FROM scratch AS echo-agent
COPY --from=binary /program /echo-agent
USER 65532:65532
ENTRYPOINT ["/echo-agent"]

FROM scratch AS pause
COPY --from=binary /program /pause
USER 65535:65535
ENTRYPOINT ["/pause"]

FROM scratch AS gateway
COPY --from=binary /program /gateway
USER 65532:65532
ENTRYPOINT ["/gateway"]

FROM scratch AS operator
COPY --from=binary /program /operator
USER 65532:65532
ENTRYPOINT ["/operator"]
