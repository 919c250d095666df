package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/agentsession/agentsession/internal/explain"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// write writes a bill in a format.
func (b *usageTable) write(out io.Writer, output string, namespaces bool) error {
	switch output {
	case "name":
		b.writeNames(out)
		return nil
	case "json", "yaml":
		return encode(out, output, b)
	}
	writeLines(out, table(b.rows(namespaces, output == "wide"), paintFor(out))...)
	return nil
}

func (b *usageTable) writeNames(out io.Writer) {
	for i := range b.Items {
		switch s := &b.Items[i]; {
		case b.by == bySession:
			writeLines(out, resource+s.Name)
		case s.Runtime != "":
			writeLines(out, runtimeResource+s.Runtime)
		}
	}
}

// rows are a table with its head, and with a sum where there is one to be made.
func (b *usageTable) rows(namespaces, wide bool) [][]cell {
	head := []string{"NAME", "RUNTIME", "STATE"}
	if b.by == byRuntime {
		head = []string{"RUNTIME", "SESSIONS", "COMPUTES"}
	}
	head = append(head, "CPU", "MEMORY", "CPU-S", "GB-S", "COST")
	if wide {
		head = append(head, "REQUESTED-CPU", "REQUESTED-MEMORY", "COST-ACTIVE", "COST-IDLE", "COST-OTHER")
		if b.by == bySession {
			head = append(head, "POD", "SESSION-ID")
		}
	}
	if namespaces {
		head = slices.Insert(head, 0, "NAMESPACE")
	}
	rows := [][]cell{plain(head...)}
	for i := range b.Items {
		rows = append(rows, b.row(&b.Items[i], namespaces, wide))
	}
	if len(b.Items) < 2 {
		return rows
	}
	all := share{Namespace: "TOTAL", Name: "TOTAL", Runtime: "TOTAL"}
	for _, s := range b.Items {
		all.add(s)
	}
	all.price(b.Prices)
	if namespaces {
		all.Name, all.Runtime = "", ""
	} else if b.by == bySession {
		all.Runtime = ""
	}
	return append(rows, b.row(&all, namespaces, wide))
}

const nothing = "-"

func (b *usageTable) row(s *share, namespaces, wide bool) []cell {
	orNone := func(text string) string { return cmp.Or(lifecycle.Printable(text), nothing) }
	state := cell{orNone(string(s.State)), colours[s.State]}
	row := append(plain(orNone(s.Name), orNone(s.Runtime)), state)
	if b.by == byRuntime {
		row = plain(orNone(s.Runtime), strconv.Itoa(s.Sessions), strconv.Itoa(s.Computes))
	}
	cpu, memory := nothing, nothing
	if s.Usage != nil {
		cpu, memory = fmt.Sprintf("%dm", s.Usage.MilliCPU), fmt.Sprintf("%dMi", s.Usage.MemoryMiB)
	}
	cells := []string{cpu, memory}
	if s.Reserved == nil {
		cells = append(cells, slices.Repeat([]string{nothing}, 8)...)
	} else {
		cpuSeconds, gbSeconds := explain.Amounts(lifecycle.TotalOf(*s.Reserved))
		cells = append(cells, cpuSeconds, gbSeconds, money(s.Cost.Total), fmt.Sprintf("%dm", s.Reserved.MilliCPU), fmt.Sprintf("%dMi", s.Reserved.MemoryMiB),
			money(s.Cost.Active), money(s.Cost.Idle), money(s.Cost.Other))
	}
	if !wide {
		cells = cells[:5]
	} else if b.by == bySession {
		cells = append(cells, orNone(s.Pod), orNone(s.RuntimeSessionID))
	}
	row = append(row, plain(cells...)...)
	if namespaces {
		row = slices.Insert(row, 0, cell{text: orNone(s.Namespace)})
	}
	return row
}

func money(amount float64) string { return strconv.FormatFloat(amount, 'f', 4, 64) }

// notes say what the figures of a table are, and what they are not.
func (b *usageTable) notes() (lines []string) {
	if b.UsageUnknown != "" {
		lines = append(lines, "CPU and MEMORY are not known: "+b.UsageUnknown+".")
	}
	if b.free > 0 {
		lines = append(lines, fmt.Sprintf("No cost is known of %s: the pods request neither CPU nor memory, or had no node yet.", count(b.free)))
	}
	each := fmt.Sprintf("%g for a vCPU-hour and %g for a GB-hour", b.Prices.VCPUHour, b.Prices.GBHour)
	if b.Prices != explain.AgentCorePrices {
		return append(lines, "COST is of what was reserved so far (CPU-S, GB-S), at "+each+".")
	}
	return append(lines, "COST is in dollars, of what was reserved so far (CPU-S, GB-S), at AgentCore's prices: "+each+". --vcpu-hour and --gb-hour give others.",
		"AgentCore bills by consumption: CPU that is used, and none while a session waits, and the peak of memory, 128 MB at least. A session that uses less than it reserves costs less there.")
}
