package main

import (
	"context"
	"os"

	"sigs.k8s.io/yaml"
)

// krewPlugin is a manifest of krew: https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest.
type krewPlugin struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   map[string]string `json:"metadata"`
	Spec       krewSpec          `json:"spec"`
}

type krewSpec struct {
	Version          string         `json:"version"`
	Homepage         string         `json:"homepage"`
	ShortDescription string         `json:"shortDescription"`
	Description      string         `json:"description"`
	Platforms        []krewPlatform `json:"platforms"`
}

type krewPlatform struct {
	Selector krewSelector `json:"selector"`
	URI      string       `json:"uri"`
	SHA256   string       `json:"sha256"`
	Bin      string       `json:"bin"`
}

type krewSelector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}

func (r release) writeKrew(context.Context) error {
	plugin := krewPlugin{
		APIVersion: "krew.googlecontainertools.github.com/v1alpha2", Kind: "Plugin",
		Metadata: map[string]string{"name": program},
		Spec: krewSpec{
			Version: r.version, Homepage: repository,
			ShortDescription: "List, explain and stop sessions of AI agents",
			Description: "Shows the sessions of agents that AgentSession runs on the cluster, explains why each\n" +
				"is in its state and what happens to it next, stops, wakes and invokes them, and checks\n" +
				"whether an agent keeps the container contract of AWS Bedrock AgentCore.\n",
		},
	}
	for _, p := range r.platforms {
		sum, err := sumOf(r.path(r.archive(p)))
		if err != nil {
			return err
		}
		plugin.Spec.Platforms = append(plugin.Spec.Platforms, krewPlatform{
			Selector: krewSelector{MatchLabels: map[string]string{"os": p.os, "arch": p.arch}},
			URI:      repository + "/releases/download/" + r.version + "/" + r.archive(p),
			SHA256:   sum, Bin: program,
		})
	}
	raw, err := yaml.Marshal(plugin)
	if err != nil {
		return err
	}
	return os.WriteFile(r.path("krew.yaml"), raw, 0o644)
}
