// Modules of which only the CustomResourceDefinitions are read: `go mod download -json` says
// where they are.
module github.com/agentsession/agentsession/hack/tools/crds

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.21.2
	github.com/envoyproxy/gateway v1.9.1
	sigs.k8s.io/gateway-api v1.6.3
)
