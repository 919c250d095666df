//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/test/front"
)

const (
	namespace = "default"
	accessKey = "AKIDEXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	patience  = time.Minute
)

// bench is all that runs.
type bench struct {
	*front.Front
	dir   string
	turn  time.Duration
	r     *result
	url   string // of the gateway
	pid   int    // of the gateway
	stops []func() error
}

func (b *bench) stop() (err error) {
	for _, stop := range slices.Backward(b.stops) {
		err = errors.Join(err, stop())
	}
	return err
}

// start starts the API server, the operator, the agents and the gateway.
func (b *bench) start(ctx context.Context) (err error) {
	say("Building the gateway, starting an API server and etcd")
	binary := filepath.Join(b.dir, "gateway")
	if out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "./cmd/gateway").CombinedOutput(); err != nil {
		return fmt.Errorf("build the gateway (run this at the top of the repository): %w\n%s", err, out)
	}
	b.Front, err = front.Start("config/crd/bases", logr.Discard()) //nolint:contextcheck // it ends with Stop
	b.stops = append(b.stops, b.Stop)
	if err != nil {
		return err
	}
	if err := b.API.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "caller", Labels: map[string]string{authn.LabelAccessKey: ""}},
		StringData: map[string]string{"accessKeyId": accessKey, "secretAccessKey": secretKey, "namespaces": "*"},
	}); err != nil {
		return fmt.Errorf("make an access key: %w", err)
	}
	kubeconfig, err := b.Kubeconfig()
	if err != nil {
		return err
	}
	file := filepath.Join(b.dir, "kubeconfig")
	if err := os.WriteFile(file, kubeconfig, 0o600); err != nil {
		return fmt.Errorf("write the gateway's kubeconfig: %w", err)
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, binary, "--bind-address="+address, "--access-key-namespace="+namespace, "--conflict=wait", "--allow-loopback-agents",
		"--metrics-bind-address=0", "--health-probe-bind-address=0", "--zap-log-level=info")
	command.Env = append(os.Environ(), "KUBECONFIG="+file)
	log, err := os.Create(filepath.Join(b.dir, "gateway.log"))
	if err != nil {
		return fmt.Errorf("make the gateway's log: %w", err)
	}
	command.Stderr = log // its access log is part of what it does
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start the gateway: %w", err)
	}
	b.pid, b.url = command.Process.Pid, "http://"+address
	b.stops = append(b.stops, func() error {
		_ = command.Process.Kill() // what it writes when it ends does not matter
		_ = command.Wait()
		return log.Close()
	})
	return awaitListening(ctx, address)
}

// freeAddress is one that nobody listens on.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

func awaitListening(ctx context.Context, address string) error {
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(50 * time.Millisecond) {
		if connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address); err == nil {
			response, err := http.Get("http://" + address) //nolint:noctx // it answers at once
			if err == nil {
				err = response.Body.Close()
			}
			return errors.Join(err, connection.Close())
		}
	}
	return errors.New("the gateway does not listen")
}

// startProxy starts the yardstick in front of an agent.
func (b *bench) startProxy(ctx context.Context, agent string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, self, "proxy", agent)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := command.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := command.Start(); err != nil {
		return "", fmt.Errorf("start the proxy: %w", err)
	}
	b.stops = append(b.stops, func() error {
		_ = command.Process.Kill()
		_ = command.Wait()
		return nil
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	return strings.TrimSpace(line), err
}

// runtime makes a runtime whose sessions idle out after that many seconds.
func (b *bench) runtime(ctx context.Context, name string, idle int32) (*v1alpha1.AgentRuntime, error) {
	agent := &v1alpha1.AgentRuntime{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.AgentRuntimeSpec{
			Template:               corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "echo"}}}},
			ProtocolConfiguration:  v1alpha1.ProtocolConfiguration{Port: b.Port},
			LifecycleConfiguration: &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: idle},
		},
	}
	if err := b.Runtime(ctx, agent); err != nil {
		return nil, err
	}
	time.Sleep(time.Second) // until the gateway's cache knows it too
	return agent, nil
}

// rss is the memory that the gateway holds, in MiB.
func (b *bench) rss() (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", b.pid))
	if err != nil {
		return 0, fmt.Errorf("read the gateway's memory: %w", err)
	}
	fields := strings.Fields(string(raw))
	if len(fields) < 2 {
		return 0, errors.New("read the gateway's memory: too few fields")
	}
	pages, err := strconv.Atoi(fields[1])
	return float64(pages*os.Getpagesize()) / (1 << 20), err
}
