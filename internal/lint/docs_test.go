package lint_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/internal/lint"
)

var update = flag.Bool("update", false, "write the table of rules in docs/lint.md")

const (
	page       = "../../docs/lint.md"
	begin, end = "<!-- the rules: go test ./internal/lint -update -->\n", "<!-- the end of the rules -->\n"
)

// TestDocs: the table of the page is that of the rules.
func TestDocs(t *testing.T) {
	g := NewWithT(t)
	raw, err := os.ReadFile(page)
	g.Expect(err).NotTo(HaveOccurred())
	before, rest, ok := strings.Cut(string(raw), begin)
	g.Expect(ok).To(BeTrue())
	_, after, ok := strings.Cut(rest, end)
	g.Expect(ok).To(BeTrue())
	want := before + begin + tableOfRules() + end + after
	if *update {
		g.Expect(os.WriteFile(page, []byte(want), 0o600)).To(Succeed())
		return
	}
	g.Expect(string(raw)).To(Equal(want), "go test ./internal/lint -update writes it")
}

func tableOfRules() string {
	var b strings.Builder
	b.WriteString("| rule | severity | what is wrong | what it costs on AWS | how it is mended |\n|---|---|---|---|---|\n")
	plain := strings.NewReplacer("|", `\|`, "*", `\*`, "_", `\_`, "<", "&lt;", "[", `\[`)
	for _, r := range lint.Rules() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | **Python:** %s<br>**TypeScript:** %s<br>**Go:** %s |\n", r.ID, r.Severity,
			plain.Replace(r.Breach), plain.Replace(r.Costs), plain.Replace(r.Mend.Python), plain.Replace(r.Mend.TypeScript), plain.Replace(r.Mend.Go))
	}
	return b.String()
}
