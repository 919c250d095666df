package main

import (
	"context"
	"fmt"
	"io"
	"math"

	"github.com/spf13/cobra"

	"github.com/agentsession/agentsession/internal/explain"
)

// runtimeResource is how -o name names a runtime.
const runtimeResource = "agentruntime.runtime.agentsession.dev/"

const (
	bySession = "session"
	byRuntime = "runtime"
)

// topper shows what sessions take and cost.
type topper struct {
	*cluster
	selection
	by, output string
	prices     explain.Prices
	out, err   io.Writer
}

func (t *connection) newTop() *cobra.Command {
	p := &topper{prices: explain.AgentCorePrices}
	command := &cobra.Command{
		Use:   "top [NAME...]",
		Short: "Show what sessions consume now, what they have reserved, and what that costs",
		Long: "Show what sessions consume now, what they have reserved, and what that costs. What costs most comes first. CPU and memory are the metrics API's (metrics.k8s.io), where the cluster has one. " +
			"The cost is of the CPU and memory that the pods of a session have requested, for as long as they had a node. " +
			"By default it is by AgentCore's prices. AgentCore bills otherwise by them: CPU that was consumed, and none while a session waits; memory by its peak.",
		Example:           examples(t, "top", "top -A --by runtime", "top --runtime echo --vcpu-hour 0.04 --gb-hour 0.005", "top -o json"),
		ValidArgsFunction: t.complete,
		RunE: func(command *cobra.Command, names []string) (err error) {
			if err := p.read(names); err != nil {
				return err
			}
			if p.cluster, err = t.connect(command); err != nil {
				return err
			}
			p.out, p.err = command.OutOrStdout(), command.ErrOrStderr()
			return p.run(command.Context())
		},
	}
	flags := command.Flags()
	p.bind(flags)
	flags.StringVar(&p.by, "by", bySession, "one row for each `what`: session or runtime")
	flags.StringVarP(&p.output, "output", "o", "", "`format`: wide, json, yaml or name")
	flags.Float64Var(&p.prices.VCPUHour, "vcpu-hour", p.prices.VCPUHour, "`price` of a vCPU for an hour")
	flags.Float64Var(&p.prices.GBHour, "gb-hour", p.prices.GBHour, "`price` of a GB (1,024 MiB) of memory for an hour")
	return command
}

// read takes the arguments, and says what is wrong with the flags.
func (p *topper) read(names []string) (err error) {
	if err := p.selection.read(names); err != nil {
		return err
	}
	if p.by, err = oneOf("--by", p.by, []string{bySession, byRuntime}); err != nil {
		return err
	}
	if p.output, err = oneOf("--output", p.output, outputs); err != nil {
		return err
	}
	for flag, price := range map[string]float64{"--vcpu-hour": p.prices.VCPUHour, "--gb-hour": p.prices.GBHour} {
		if !(price >= 0) || math.IsInf(price, 0) { // NaN is neither
			return fmt.Errorf("%s is %v: it must be a number, 0 or more", flag, price)
		}
	}
	return nil
}

func (p *topper) run(ctx context.Context) error {
	all, missing := p.find(ctx, &p.selection)
	if missing != nil && all == nil {
		return missing
	}
	tables := p.output == "" || p.output == "wide"
	if len(all) == 0 && (tables || p.output == "name") {
		writeLines(p.err, "No sessions found"+podLocation(p.cluster, &p.selection)+".")
		return missing
	}
	known, unknown := p.usage(ctx, &p.selection)
	b := usageTableOf(p.now(), p.prices, p.by, all, known)
	b.UsageUnknown = unknown
	if err := b.write(p.out, p.output, p.all); err != nil {
		return err
	}
	if tables {
		writeLines(p.err, b.notes()...)
	}
	return missing
}
