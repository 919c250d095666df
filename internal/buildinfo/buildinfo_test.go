package buildinfo

import (
	"runtime/debug"
	"testing"

	. "github.com/onsi/gomega"
)

// TestVersion: the tag, else the commit.
func TestVersion(t *testing.T) {
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "fb13637a0c1d"}
	modified := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for want, info := range map[string]debug.BuildInfo{
		"v1.2.0":                             {Main: debug.Module{Version: "v1.2.0"}, Settings: []debug.BuildSetting{revision}},
		"v1.2.0+dirty":                       {Main: debug.Module{Version: "v1.2.0+dirty"}, Settings: []debug.BuildSetting{revision, modified}},
		"v1.3.0-rc.1":                        {Main: debug.Module{Version: "v1.3.0-rc.1"}},
		"fb13637a0c1d":                       {Main: debug.Module{Version: "v0.0.0-20261129084000-fb13637a0c1d"}, Settings: []debug.BuildSetting{revision}},
		"fb13637a0c1d+dirty":                 {Main: debug.Module{Version: "v1.2.1-0.20261129084000-fb13637a0c1d+dirty"}, Settings: []debug.BuildSetting{revision, modified}},
		"v0.0.0-20261129084000-0123456789ab": {Main: debug.Module{Version: "v0.0.0-20261129084000-0123456789ab"}}, // go install without a repository
		"(devel)":                            {Main: debug.Module{Version: "(devel)"}},
		"unknown":                            {},
	} {
		t.Run(want, func(t *testing.T) {
			NewWithT(t).Expect(versionOf(&info)).To(Equal(want))
		})
	}
}
