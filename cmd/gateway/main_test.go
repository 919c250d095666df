package main

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// Reads that wait for writes have a call wait for those of others.
func TestReadsWaitForNoWrites(t *testing.T) {
	g := NewWithT(t)
	opts, err := managerOptions(options{keyNamespace: "system"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(opts.Client.Cache).To(BeNil())
}

func TestValidate(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*options)
		says   string // empty: it is right
	}{
		"the defaults":              {change: func(*options) {}},
		"one way":                   {change: func(o *options) { o.authentication = "kubernetes" }},
		"nobody is asked":           {change: func(o *options) { o.authentication = "none" }},
		"nobody and somebody":       {change: func(o *options) { o.authentication = "none,sigv4" }, says: `--authentication is "none,sigv4": none goes with nothing else`},
		"another way":               {change: func(o *options) { o.authentication = "sigv4,basic" }, says: `--authentication is "sigv4,basic": it must be`},
		"no way":                    {change: func(o *options) { o.authentication = "" }, says: `--authentication is ""`},
		"keys of no namespace":      {change: func(o *options) { o.keyNamespace = "" }, says: "--access-key-namespace"},
		"waiting":                   {change: func(o *options) { o.conflict = "wait" }},
		"another conflict":          {change: func(o *options) { o.conflict = "retry" }, says: `--conflict is "retry": it must be fail or wait`},
		"no time for a call":        {change: func(o *options) { o.requestTimeout = 0 }, says: "--request-timeout is 0s"},
		"less than no time":         {change: func(o *options) { o.streamTimeout = -time.Second }, says: "--stream-timeout -1s"},
		"no place in line":          {change: func(o *options) { o.queueLength = 0 }, says: "--queue-length is 0"},
		"no time in line":           {change: func(o *options) { o.queueTimeout = 0 }, says: "--queue-timeout 0s"},
		"a public URL":              {change: func(o *options) { o.publicURL = "https://agents.example" }},
		"no public URL":             {change: func(o *options) { o.publicURL = "agents.example" }, says: `--public-url is "agents.example": it must be`},
		"a control plane":           {change: func(o *options) { o.controlPlane, o.allowedImages = true, "*" }},
		"a control plane for all":   {change: func(o *options) { o.controlPlane, o.authentication = true, "none" }, says: "--control-plane does not go with --authentication=none"},
		"versions as they are":      {change: func(o *options) { o.controlPlane, o.validateVersions = true, false }},
		"versions of nobody's":      {change: func(o *options) { o.validateVersions = false }, says: "--validate-versions=false goes with --control-plane"},
		"memory":                    {change: func(o *options) { o.controlPlane, o.maxMemory = true, "8Gi" }},
		"memory of nobody's":        {change: func(o *options) { o.maxMemory = "8Gi" }, says: `--max-memory is "8Gi": it goes with --control-plane`},
		"no memory":                 {change: func(o *options) { o.controlPlane, o.maxMemory = true, "1k" }, says: `--max-memory is "1k": it must be a quantity of 1Mi or more`},
		"memory that is none":       {change: func(o *options) { o.controlPlane, o.maxMemory = true, "much" }, says: `--max-memory is "much": it must be a quantity of 1Mi or more`},
		"images for nobody":         {change: func(o *options) { o.allowedImages = "registry.example/" }, says: `--allowed-images is "registry.example/": it goes with --control-plane`},
		"an end at once":            {change: func(o *options) { o.shutdownDelay = 0 }},
		"a page":                    {change: func(o *options) { o.dashboard, o.dashboardWrite = ":8082", true }},
		"a page without a port":     {change: func(o *options) { o.dashboard = "8082" }, says: `--dashboard is "8082": it must be HOST:PORT`},
		"a page for nobody":         {change: func(o *options) { o.dashboard, o.authentication = ":8082", "sigv4" }, says: `needs kubernetes in --authentication, which is "sigv4"`},
		"a page for everybody":      {change: func(o *options) { o.dashboard, o.authentication = ":8082", "none" }, says: "needs kubernetes in --authentication"},
		"no page that writes":       {change: func(o *options) { o.dashboardWrite = true }, says: "--dashboard-write is given without --dashboard"},
		"an end before it is asked": {change: func(o *options) { o.shutdownDelay = -time.Second }, says: "--shutdown-delay is -1s"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			o := options{
				authentication: "sigv4,kubernetes", keyNamespace: "system", conflict: "fail", validateVersions: true,
				requestTimeout: time.Minute, streamTimeout: time.Hour, queueLength: 1, queueTimeout: time.Second, shutdownDelay: time.Second,
			}
			row.change(&o)
			err := o.validate()
			if row.says == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(row.says)))
		})
	}
}
