package apiserver

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// maxSelector is how long a selector may be, in characters, as it is written: the status of
// each session that lives has it.
const maxSelector = 256

// OperatorLease is the lease of the operators without a selector.
const OperatorLease = "agentsession-operator"

// Selector is a label selector, the value of a flag. Selectors that say the same in another
// order, or with another operator for a single value, are the same. The zero one selects all.
type Selector struct {
	labels.Selector
}

// String is what Set reads.
func (s *Selector) String() string {
	if s.Selector == nil {
		return ""
	}
	return s.Selector.String()
}

// Set reads a selector as kubectl's --selector has it.
func (s *Selector) Set(text string) error {
	*s = Selector{}
	requirements, err := labels.ParseToRequirements(text)
	if err != nil {
		return fmt.Errorf("it must be a label selector, as shard=a or shard in (a,b): %w", err)
	}
	if len(requirements) == 0 {
		return nil
	}
	for i := range requirements {
		if requirements[i], err = plain(requirements[i]); err != nil {
			return err
		}
	}
	slices.SortFunc(requirements, func(a, b labels.Requirement) int { return strings.Compare(a.String(), b.String()) })
	requirements = slices.CompactFunc(requirements, func(a, b labels.Requirement) bool { return a.String() == b.String() })
	read := labels.NewSelector().Add(requirements...)
	if n := len(read.String()); n > maxSelector {
		return fmt.Errorf("it has %d characters: a label selector must have %d at most", n, maxSelector)
	}
	s.Selector = read
	return nil
}

// plain has a requirement of one value be = or !=.
func plain(r labels.Requirement) (labels.Requirement, error) {
	operator, values := r.Operator(), r.Values().List()
	switch {
	case operator == selection.DoubleEquals, operator == selection.In && len(values) == 1:
		operator = selection.Equals
	case operator == selection.NotIn && len(values) == 1:
		operator = selection.NotEquals
	}
	same, err := labels.NewRequirement(r.Key(), operator, values)
	if err != nil {
		return r, fmt.Errorf("read the requirement %s: %w", r.String(), err)
	}
	return *same, nil
}

// LeaseName is the name of the lease that the operators with a selector share, as
// Selector.String has it.
func LeaseName(selector string) string {
	if selector == "" {
		return OperatorLease
	}
	sum := sha256.Sum256([]byte(selector))
	return OperatorLease + "-" + hex.EncodeToString(sum[:5])
}
