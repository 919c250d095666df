package main

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// TestWhatIsSuggestedGoesToTheSameCluster, as the same user; secrets are not shown.
func TestWhatIsSuggestedGoesToTheSameCluster(t *testing.T) {
	for args, want := range map[string]string{
		"":                  "",
		"-n other":          "",
		"-s https://x:6443": " --server https://x:6443",
		"--cluster c --user u --context k --as me --as-group a --as-group b": " --as me --as-group a --as-group b --cluster c --context k --user u",
		"--kubeconfig it's": ` --kubeconfig 'it'\''s'`,
		"--token abc --username u --password abc --request-timeout 5s": " --password PASSWORD --token TOKEN --username u",
		"--insecure-skip-tls-verify --certificate-authority ca.crt":    " --certificate-authority ca.crt --insecure-skip-tls-verify=true",
	} {
		g, c := NewWithT(t), newConnection("agentsession")
		command := c.command()
		command.SetArgs(append([]string{"explain"}, strings.Fields(args)...))
		g.Expect(command.Execute()).To(MatchError(ContainSubstring("`agentsession" + want + " list`")))
		g.Expect(c.tools().Kubectl).To(Equal("kubectl" + want))
	}
	d := newDesk(t)
	_, _, err := d.run("describe", "nobody", "--as", "admin")
	d.Expect(err).To(MatchError(ContainSubstring("`kubectl agentsession --as admin --kubeconfig " + d.kubeconfig + " explain nobody -n default` tells")))
	_, _, err = d.run("explain", "runtime/nobody", "--as", "admin")
	d.Expect(err).To(MatchError(ContainSubstring("`kubectl --as admin --kubeconfig " + d.kubeconfig + " get agr -A` shows")))
}
