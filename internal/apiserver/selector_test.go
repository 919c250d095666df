package apiserver

import (
	"flag"
	"io"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
)

func TestSelectors(t *testing.T) {
	long := "shard in (" + strings.Repeat("a,", 130) + "b)"
	for text, row := range map[string]struct {
		is, says string
	}{
		"":                        {is: ""},
		"shard=a":                 {is: "shard=a"},
		"shard == a":              {is: "shard=a"},
		"shard in (a)":            {is: "shard=a"},
		"shard notin (a)":         {is: "shard!=a"},
		"shard in (b,a)":          {is: "shard in (a,b)"},
		"team=x,shard=a":          {is: "shard=a,team=x"},
		"shard=a, team=x":         {is: "shard=a,team=x"},
		"shard=a,shard=a":         {is: "shard=a"},
		"shard!=b,shard!=a":       {is: "shard!=a,shard!=b"},
		"!shard":                  {is: "!shard"},
		"example.com/shard":       {is: "example.com/shard"},
		"shard=a b":               {says: `invalid value "shard=a b" for flag -watch-label-selector: it must be a label selector, as shard=a or shard in (a,b): found 'b'`},
		"shard in a":              {says: "it must be a label selector"},
		"-shard=a":                {says: "it must be a label selector"},
		"shard=" + long[:70]:      {says: "it must be a label selector"},
		"shard in (a,b),x=#":      {says: "it must be a label selector"},
		strings.Repeat("a", 70):   {says: "it must be a label selector"},
		manyKeys(maxSelector + 2): {says: "it has 258 characters: a label selector must have 256 at most"},
		manyKeys(maxSelector):     {is: manyKeys(maxSelector)},
	} {
		t.Run(text, func(t *testing.T) {
			g := NewWithT(t)
			var s Selector
			flags := flag.NewFlagSet("operator", flag.ContinueOnError)
			flags.SetOutput(io.Discard)
			flags.Var(&s, "watch-label-selector", "")
			err := flags.Parse([]string{"-watch-label-selector=" + text})
			if row.says != "" {
				g.Expect(err).To(MatchError(ContainSubstring(row.says)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(s.String()).To(Equal(row.is))
			if s.Selector == nil {
				g.Expect(row.is).To(BeEmpty())
				return
			}
			var again Selector
			g.Expect(again.Set(s.String())).To(Succeed())
			g.Expect(again.String()).To(Equal(row.is))
		})
	}
}

// manyKeys is a selector of several keys, with n characters.
func manyKeys(n int) string {
	first, rest := strings.Repeat("a", 60), n
	keys := []string{}
	for i := 'b'; rest > 0; i++ {
		key := string(i) + first
		if len(key)+1 >= rest {
			key = key[:rest]
		}
		keys, rest = append(keys, key), rest-len(key)-1
	}
	return strings.Join(keys, ",")
}

// TestLeaseNames: shards have leases of their own, and those of one share one.
func TestLeaseNames(t *testing.T) {
	g := NewWithT(t)
	g.Expect(LeaseName("")).To(Equal("agentsession-operator"))
	g.Expect(LeaseName("shard=a")).To(Equal("agentsession-operator-3d8dfb268d"), "it is the same in every version: two would else lead")
	seen := map[string]string{}
	for _, text := range []string{"shard=a", "shard=b", "shard!=a", "!shard", "shard in (a,b)", "example.com/shard=a", "team=x,shard=a"} {
		var s Selector
		g.Expect(s.Set(text)).To(Succeed())
		name := LeaseName(s.String())
		g.Expect(validation.IsDNS1123Subdomain(name)).To(BeEmpty(), name)
		g.Expect(seen).NotTo(HaveKey(name), text)
		seen[name] = text
	}
	var a, b Selector
	g.Expect(a.Set("team=x,shard in (a)")).To(Succeed())
	g.Expect(b.Set("shard==a, team=x")).To(Succeed())
	g.Expect(LeaseName(a.String())).To(Equal(LeaseName(b.String())))
	g.Expect(a.Matches(labels.Set{"shard": "a", "team": "x"})).To(BeTrue())
	g.Expect(a.Matches(labels.Set{"shard": "b", "team": "x"})).To(BeFalse())
}
