package main

// rules are the files whose code is broken wherever that can be done, and the tests that
// should notice.
var rules = []struct {
	files string // a pattern
	tests suite
}{
	{"internal/lifecycle/*.go", suite{"internal/lifecycle", slowLast("^(TestNoReportIsLate|TestNoCallIsStoppedUnder)$", "-rapid.nofailfile", "-rapid.shrinktime=1ms")}},
}

// slowLast are two rounds: of all tests but those that take seconds, and of these.
func slowLast(slow string, args ...string) [][]string {
	return [][]string{
		append([]string{"-test.timeout=1m", "-test.skip=" + slow}, args...),
		append([]string{"-test.timeout=5m", "-test.run=" + slow}, args...),
	}
}
