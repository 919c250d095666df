package main

import (
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/agentsession/agentsession/internal/explain"
)

// secrets are flags whose values are not shown again.
var secrets = map[string]string{clientcmd.FlagBearerToken: "TOKEN", clientcmd.FlagPassword: "PASSWORD"}

// tools are how commands begin that go to the same cluster, as the same user.
func (t *connection) tools() explain.Tools {
	var to strings.Builder
	t.flags.VisitAll(func(flag *pflag.Flag) {
		if !flag.Changed || flag.Name == clientcmd.FlagNamespace || flag.Name == clientcmd.FlagTimeout {
			return
		}
		values := []string{flag.Value.String()}
		if several, ok := flag.Value.(pflag.SliceValue); ok {
			values = several.GetSlice()
		}
		for _, value := range values {
			to.WriteString(" --" + flag.Name)
			switch hidden := secrets[flag.Name]; {
			case hidden != "":
				to.WriteString(" " + hidden)
			case flag.NoOptDefVal != "":
				to.WriteString("=" + explain.Quoted(value))
			default:
				to.WriteString(" " + explain.Quoted(value))
			}
		}
	})
	return explain.Tools{Self: t.name + to.String(), Kubectl: "kubectl" + to.String()}
}
