package agentruntime

// Addr is where Run would listen.
func (a *App) Addr() string { return a.options.Addr }

// LimitBody saves tests from sending 100 MB.
func (a *App) LimitBody(n int64) { a.maxBody = n }
