package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// logs shows what the agents of sessions write.
type logs struct {
	*cluster
	follow bool
	tail   int64
	out    io.Writer
	// safe leaves out what is not printable.
	safe bool
}

func (t *connection) newLogs() *cobra.Command {
	l := &logs{}
	command := &cobra.Command{
		Use:   "logs NAME",
		Short: "Show what a session's agent writes",
		Long: "Show what a session's agent writes, of the compute that is there. The log of one that was taken away went with its pod; " +
			"of one that failed the end is in the reason of its stop, which is shown then.",
		Example:           examples(t, "logs research", "logs research --tail 50 -f"),
		Args:              t.requireNames,
		ValidArgsFunction: t.complete,
		RunE: func(command *cobra.Command, names []string) (err error) {
			if len(names) > 1 {
				return fmt.Errorf("one name is wanted, and not %d: logs of several would be mixed", len(names))
			}
			if l.tail < -1 {
				return fmt.Errorf("--tail is %d: it must be -1, which is all, or the number of lines", l.tail)
			}
			name, err := sessionName(names[0])
			if err != nil {
				return err
			}
			if l.cluster, err = t.connect(command); err != nil {
				return err
			}
			l.out, l.safe = command.OutOrStdout(), terminal(command.OutOrStdout()) != nil
			return l.show(command.Context(), name)
		},
	}
	command.Flags().BoolVarP(&l.follow, "follow", "f", false, "go on with what it writes from now on")
	command.Flags().Int64Var(&l.tail, "tail", -1, "how many `lines` of the end are shown; -1 is all")
	return command
}

func (l *logs) show(ctx context.Context, name string) error {
	f, err := l.get(ctx, name)
	if apierrors.IsNotFound(err) {
		return l.missing(ctx, name, err)
	} else if err != nil {
		return l.inWords(err)
	}
	pod, err := l.podOf(ctx, f)
	if err != nil {
		return err
	}
	if pod == nil {
		return noCompute(f)
	}
	switch err := l.stream(ctx, pod); {
	case err == nil || ctx.Err() != nil:
	case apierrors.IsNotFound(err):
		return fmt.Errorf("the API server has no log of pod %s: it may just have gone; and what agents of `%s local` write is in that command's own output (%w)", pod.Name, program, err)
	default:
		return fmt.Errorf("read the log of pod %s: %w", pod.Name, l.inWords(err))
	}
	return nil //nolint:nilerr // it is to end
}

// noCompute says why there is no log, and how the last compute ended.
func noCompute(f found) error {
	last := f.Status.LastTermination
	if last == nil {
		return fmt.Errorf("AgentSession %q has no compute, so there is no log", f.Name)
	}
	return fmt.Errorf("AgentSession %q has no compute, and the log of the last went with its pod. It ended by %s: %s", f.Name, last.Reason, lifecycle.Line(last.Message, maxMessage))
}

func (l *logs) stream(ctx context.Context, pod *corev1.Pod) error {
	pods, err := l.pods()
	if err != nil {
		return err
	}
	options := &corev1.PodLogOptions{Container: lifecycle.AgentContainer(pod).Name, Follow: l.follow}
	if l.tail >= 0 {
		options.TailLines = &l.tail
	}
	stream, err := pods.Get().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("log").VersionedParams(options, scheme.ParameterCodec).Stream(ctx)
	if err != nil {
		return err //nolint:wrapcheck // the caller's words
	}
	if l.safe {
		err = copyPrintable(l.out, stream)
	} else {
		_, err = io.Copy(l.out, stream)
	}
	return errors.Join(err, stream.Close())
}

// copyPrintable leaves out what would do something to a terminal, and holds back nothing that
// it can write: the next read may take for ever.
func copyPrintable(to io.Writer, from io.Reader) error {
	in, out := bufio.NewReader(from), bufio.NewWriter(to)
	for {
		r, _, err := in.ReadRune()
		switch {
		case errors.Is(err, io.EOF):
			return out.Flush()
		case err != nil:
			return errors.Join(err, out.Flush())
		case r == '\r': // of a line's end; alone it would write over what stands there
		case r != '\n' && r != '\t' && !unicode.IsPrint(r):
			_, _ = out.WriteRune('?') // Flush tells
		default:
			_, _ = out.WriteRune(r) // as above
		}
		if next, _ := in.Peek(in.Buffered()); !utf8.FullRune(next) {
			if err := out.Flush(); err != nil {
				return err //nolint:wrapcheck // of the user's own stream
			}
		}
	}
}
