package awsclients

import (
	"cmp"
	"os"
	"os/exec"
	"testing"

	. "github.com/onsi/gomega"
)

// TestControlPlaneFuzz sends requests of all operations, valid and invalid ones, that are made of
// botocore's model. AGENTSESSION_FUZZ is how many, and AGENTSESSION_FUZZ_SEED makes others.
func TestControlPlaneFuzz(t *testing.T) {
	t.Parallel()
	g, m := NewWithT(t), newMaker(t, "*")
	out, err := exec.CommandContext(t.Context(), python(t), "fuzz.py", m.url, region, m.accessKey, m.secretKey,
		cmp.Or(os.Getenv("AGENTSESSION_FUZZ_SEED"), "1"), cmp.Or(os.Getenv("AGENTSESSION_FUZZ"), "300")).CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), "%s", out)
	t.Logf("%s", out)
}
