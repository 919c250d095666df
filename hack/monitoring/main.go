// Command monitoring generates what is in config/monitoring for Grafana, and for the
// Prometheus Operator: the dashboard of the panels here, and a PrometheusRule of
// rules.yaml.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

func main() {
	if err := generate(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func generate(dir string) error {
	var board bytes.Buffer
	encoder := json.NewEncoder(&board)
	encoder.SetEscapeHTML(false) // expressions stay readable
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(dashboard()); err != nil {
		return fmt.Errorf("write the dashboard: %w", err)
	}
	rule, err := prometheusRule(filepath.Join(dir, "rules.yaml"))
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{"dashboard.json": board.Bytes(), "prometheusrule.yaml": rule} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// prometheusRule wraps a file of rules, which is what a PrometheusRule has as its spec.
func prometheusRule(file string) ([]byte, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var rules map[string]any
	if err := yaml.UnmarshalStrict(raw, &rules); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	rule, err := yaml.Marshal(map[string]any{
		"apiVersion": "monitoring.coreos.com/v1",
		"kind":       "PrometheusRule",
		"metadata":   map[string]any{"name": "alerts", "namespace": "system", "labels": map[string]any{"app.kubernetes.io/name": "agentsession"}},
		"spec":       rules,
	})
	return append([]byte("# Generated of rules.yaml by hack/monitoring (make generate).\n"), rule...), err
}
