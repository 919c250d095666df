package agentsessiontest_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
	"github.com/agentsession/agentsession/agentsessiontest"
	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// newAgent is what its author tests: it answers at once, and works on until it is told
// that the work is done.
func newAgent(done <-chan struct{}) http.Handler {
	app := agentruntime.New(agentruntime.Options{Logger: slog.New(slog.DiscardHandler)})
	app.Entrypoint(agentruntime.JSON(func(ctx context.Context, _ struct{}) (string, error) {
		app.Go(context.WithoutCancel(ctx), "index", func(context.Context) error {
			<-done
			return nil
		})
		return "begun", nil
	}))
	return app.Handler()
}

// TestAnAgentIsKeptWhileItWorks is a test by an agent's author: a call begins work that
// lasts longer than the idle timeout, the agent is kept for it, and is stopped 15 minutes
// after it. It takes seconds.
func TestAnAgentIsKeptWhileItWorks(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	done := make(chan struct{})
	platform, namespace := start(t, agentsessiontest.Options{Agent: func(*corev1.Pod) *node.Agent { return node.AgentOf(newAgent(done)) }})
	agent := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Name: "indexer", Namespace: namespace}, Spec: v1alpha1.AgentRuntimeSpec{Template: agentTemplate()}}
	g.Expect(platform.API.Create(ctx, agent)).To(Succeed())
	g.Eventually(func() string {
		_ = platform.API.Get(ctx, client.ObjectKeyFromObject(agent), agent)
		return agent.Status.AgentRuntimeArn
	}).WithTimeout(patience).ShouldNot(BeEmpty())

	g.Expect(invoke(ctx, g, platform, agent)).To(Equal(`"begun"`))
	var all v1alpha1.AgentSessionList
	g.Expect(platform.API.List(ctx, &all, client.InNamespace(namespace))).To(Succeed())
	g.Expect(all.Items).To(HaveLen(1))
	session := &all.Items[0]
	g.Eventually(func() string {
		_ = platform.API.Get(ctx, client.ObjectKeyFromObject(session), session)
		return session.Status.PingStatus
	}).WithTimeout(patience).Should(Equal("HealthyBusy"))

	g.Expect(platform.Move(ctx, time.Hour)).To(Succeed())
	close(done)
	reaches(ctx, g, platform, session, v1alpha1.StateIdle)
	g.Expect(platform.Move(ctx, 15*time.Minute)).To(Succeed())
	reaches(ctx, g, platform, session, v1alpha1.StateStopped)
	g.Expect(session.Status.LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
}

// invoke calls a runtime as AWS's clients do.
func invoke(ctx context.Context, g Gomega, platform *agentsessiontest.Platform, agent *v1alpha1.AgentRuntime) string {
	to := platform.Endpoint + "/runtimes/" + url.PathEscape(agent.Status.AgentRuntimeArn) + "/invocations"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(`{}`))
	g.Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "a-session-with-a-name-of-33-characters")
	answer, err := http.DefaultClient.Do(request)
	g.Expect(err).NotTo(HaveOccurred())
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(answer.StatusCode).To(Equal(http.StatusOK), "%s", body)
	return strings.TrimSpace(string(body))
}
