# One Dockerfile for all images; the last stage is the operator's.
#   docker build -t agentsession/operator:dev .
#   docker build -t agentsession/gateway:dev --target gateway .
#   docker build -t agentsession/agents:dev --target agents .
# All programs are built at once, so that only the first of these takes long. Where
# Go is there, `make image` builds them itself and packs each by its stage below.
FROM golang:1.26 AS built
WORKDIR /src
COPY go.mod go.sum ./
COPY agent-runtime/go.mod agent-runtime/go.sum agent-runtime/
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/ ./cmd/operator ./cmd/gateway ./examples/agents ./test/echo/echo-agent ./hack/cluster/pause

FROM scratch AS agents
COPY --from=built /out/agents /agents
USER 65532:65532
ENTRYPOINT ["/agents"]

FROM scratch AS echo-agent
COPY --from=built /out/echo-agent /echo-agent
USER 65532:65532
ENTRYPOINT ["/echo-agent"]

FROM scratch AS pause
COPY --from=built /out/pause /pause
USER 65535:65535
ENTRYPOINT ["/pause"]

FROM scratch AS gateway
COPY --from=built /out/gateway /gateway
USER 65532:65532
ENTRYPOINT ["/gateway"]

FROM scratch AS operator
COPY --from=built /out/operator /operator
USER 65532:65532
ENTRYPOINT ["/operator"]
