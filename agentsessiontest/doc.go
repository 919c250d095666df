// Package agentsessiontest runs AgentSession in a test suite: operator, gateway, and a node
// that plays along, on the API server of envtest. They are the same packages as on a
// cluster; what is played is the kubelet, and the agents in its pods.
//
//	environment := &envtest.Environment{CRDs: agentsessiontest.CRDs()}
//	config, err := environment.Start()
//	...
//	platform, err := agentsessiontest.Start(config, agentsessiontest.Options{})
//	...
//	err = platform.API.Create(ctx, session)  // an AgentSession; its pod runs, its agent is asked
//	platform.Agent(session).Say(contract.HealthyBusy)
//	err = platform.Move(ctx, 15*time.Minute) // of the clock: what is idle is due now
//	...
//	err = platform.Stop()
//
// Agents do what the suite tells them ([node.Agent]), or are the handler of a program
// ([node.AgentOf]), as that of an App of agent-runtime. AWS's clients call them through the
// gateway at Platform.Endpoint, as on AgentCore.
//
// A stop that the rules announce comes with the next ping: wait for it, as the examples do.
// What a real kubelet does (images, probes, signals, networks, volumes) is not played.
package agentsessiontest
