package prober

import "k8s.io/apimachinery/pkg/types"

// slots is how many moments a period has: 20 ms apart with 2 s.
const slots = 100

// wheel holds every entry in the slot of its pod's UID: evenly spread, always
// at the same moment of the period, with nothing to sort and no timer each. It
// serves because the period is the same for all.
type wheel [slots][]*entry

func (w *wheel) add(e *entry) {
	e.slot = slotOf(e.target.UID)
	e.index = len(w[e.slot])
	w[e.slot] = append(w[e.slot], e)
}

func (w *wheel) remove(e *entry) {
	slot := w[e.slot]
	last := slot[len(slot)-1]
	slot[e.index], last.index = last, e.index
	slot[len(slot)-1] = nil
	w[e.slot] = slot[:len(slot)-1]
}

// count returns how many entries the n slots from first on hold, going round
// as often as it takes.
func (w *wheel) count(first, n int) int {
	total := 0
	for i := range slots {
		times := n / slots
		if i < n%slots {
			times++
		}
		total += times * len(w[(first+i)%slots])
	}
	return total
}

// slotOf is FNV-1a: the same for all time, so that a restart moves nobody.
func slotOf(uid types.UID) int {
	hash := uint32(2166136261)
	for i := range len(uid) {
		hash = (hash ^ uint32(uid[i])) * 16777619
	}
	return int(hash % slots)
}
