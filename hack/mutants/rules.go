package main

// rules are the files whose code is broken wherever that can be done, and the tests that
// should notice.
var rules = []struct {
	files []string
	tests suite
}{
	{[]string{"*.go"}, suite{"internal/lifecycle", [][]string{
		{"-test.timeout=1m", "-test.skip=" + seconds, "-rapid.nofailfile", "-rapid.shrinktime=1ms", "-rapid.checks=100"},
		{"-test.timeout=1m", "-test.skip=" + seconds, "-rapid.nofailfile", "-rapid.shrinktime=1ms"},
		{"-test.timeout=5m", "-test.run=" + seconds, "-rapid.nofailfile", "-rapid.shrinktime=1ms"},
	}}},
	{[]string{"answer.go", "usual.go", "outage.go", "beside.go", "tasks.go"}, suite{"internal/prober", [][]string{
		{"-test.timeout=1m", "-test.run=" + judging},
		{"-test.timeout=3m", "-test.run=" + hostile},
	}}},
	{[]string{"traffic.go", "running.go", "look.go"}, suite{"internal/gateway", [][]string{
		{"-test.timeout=1m", "-test.skip=" + closed, "-rapid.nofailfile", "-rapid.shrinktime=1ms"},
	}}},
}

// seconds is what the tests of internal/lifecycle take that do.
const seconds = "^(TestNoReportIsLate|TestNoCallIsStoppedUnder)$"

// judging are the tests of internal/prober that are of answers alone.
const judging = "^(Fuzz.*|Test(Usual|GoodAnswers|AnswersThatDiffer|GoodAnswersOfMCP|TheHeadOfMCP|RefusalsOfMCP|Outage|AnOutage|Namespaces|OnlyAGoodAnswer|SecondConnection|AskTasks|FetchTasks).*)$"

// hostile are those that take seconds, and do not depend on the machine's speed.
const hostile = "^Test(HostileAgents|SwitchingProtocols.*|BytesRead.*|StreamNeedNotEnd|AnotherQuestion|OneThread.*|CancelEndsTheTrial|TasksAre.*|AgentsThatHang.*)$"

// closed takes seconds, and is of connections.
const closed = "^TestNoCallOnAConnectionThatIsClosed$"
