package main

import (
	"context"
	"fmt"
	"strings"
)

// table is one of iptables that kube-proxy and the kubelet write to.
type table struct{ iptables, name string }

func tables() (all []table) {
	for _, iptables := range []string{"iptables", "ip6tables"} {
		for _, name := range []string{"filter", "nat", "mangle"} {
			all = append(all, table{iptables, name})
		}
	}
	return all
}

// chains are those of Kubernetes, and the rules of others that lead to them; none if
// there is no such table.
func (t table) chains(ctx context.Context) (chains, jumps []string) {
	rules, err := output(ctx, t.iptables, "-w", "-t", t.name, "-S")
	if err != nil {
		return nil, nil
	}
	for line := range strings.Lines(rules) {
		fields := strings.Fields(line)
		switch {
		case fields[0] == "-N" && strings.HasPrefix(fields[1], "KUBE-"):
			chains = append(chains, fields[1])
		case fields[0] == "-A" && !strings.HasPrefix(fields[1], "KUBE-") && strings.Contains(line, "-j KUBE-"):
			jumps = append(jumps, strings.TrimPrefix(strings.TrimSpace(line), "-A "))
		}
	}
	return chains, jumps
}

// refuseForeignChains is for before there are any of ours: down takes all away. With a
// kube-proxy of k3s, of kubeadm or of minikube's driver none ours would write to the same ones.
func refuseForeignChains(ctx context.Context) error {
	for _, t := range tables() {
		if chains, _ := t.chains(ctx); len(chains) > 0 {
			return fmt.Errorf("another Kubernetes has its rules in this machine's network (%s -t %s has the chain %s), and a second node would break them: "+
				"use that cluster with USE_CLUSTER=current, or install Docker and kind; what a cluster that runs no more has left goes with a restart of the machine",
				t.iptables, t.name, chains[0])
		}
	}
	return nil
}

// dropChains removes the chains of kube-proxy and the kubelet, and the rules
// that lead to them.
func (t table) dropChains(ctx context.Context) {
	chains, jumps := t.chains(ctx)
	for _, jump := range jumps {
		try(ctx, "sh", "-c", t.iptables+" -w -t "+t.name+" -D "+jump) // quotes as iptables printed them
	}
	for _, flag := range []string{"-F", "-X"} {
		for _, chain := range chains {
			try(ctx, t.iptables, "-w", "-t", t.name, flag, chain)
		}
	}
}
