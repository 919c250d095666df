// What makes the site of the documentation, and its pictures of the terminal, with
// libraries that the root module is spared.
module github.com/agentsession/agentsession/hack/docs

go 1.26.0

require (
	github.com/creack/pty v1.1.24
	github.com/onsi/gomega v1.44.0
	github.com/yuin/goldmark v1.8.7
	golang.org/x/net v0.62.0
)

require (
	github.com/google/go-cmp v0.7.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/text v0.43.0 // indirect
)
