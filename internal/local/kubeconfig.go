package local

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// gatewayExtension is the extension of a kubeconfig's cluster that says where its gateway is.
// The API in memory has neither Services nor port-forwarding to find one by.
var gatewayExtension = "gateway." + v1alpha1.GroupVersion.Group

type gatewayAt struct {
	URL string `json:"url"`
}

// withGateway adds to each cluster of a kubeconfig where its gateway is.
func withGateway(kubeconfig []byte, url string) ([]byte, error) {
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	raw, err := json.Marshal(gatewayAt{url})
	if err != nil {
		return nil, fmt.Errorf("write the gateway into the kubeconfig: %w", err)
	}
	for _, cluster := range config.Clusters {
		cluster.Extensions = map[string]runtime.Object{gatewayExtension: &runtime.Unknown{Raw: raw, ContentType: runtime.ContentTypeJSON}}
	}
	if kubeconfig, err = clientcmd.Write(*config); err != nil {
		return nil, fmt.Errorf("write the kubeconfig: %w", err)
	}
	return kubeconfig, nil
}

// GatewayOf is the URL of the gateway that a kubeconfig's cluster names; empty if it names none.
func GatewayOf(cluster *clientcmdapi.Cluster) string {
	unknown, ok := cluster.Extensions[gatewayExtension].(*runtime.Unknown)
	var at gatewayAt
	if !ok || json.Unmarshal(unknown.Raw, &at) != nil {
		return ""
	}
	return at.URL
}
