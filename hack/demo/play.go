package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// player brings together the story, the cluster and the screen.
type player struct {
	view
	out     *screen
	cluster *cluster
	last    map[string]string // the last change told of each session
}

// play applies the examples where they belong, follows them to their ends and tells the outcome.
func play(ctx context.Context, out *screen, c *cluster, scale int, place func(*unstructured.Unstructured) error) (*player, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	updates, err := c.watch(ctx)
	if err != nil {
		return nil, err
	}
	p := &player{view: view{story: newStory(scale)}, out: out, cluster: c, last: map[string]string{}}
	err = out.doing(ctx, "Applying examples/research.yaml, forgetful.yaml, echo.yaml", func(ctx context.Context) error {
		for _, plot := range p.story.plots {
			if err := c.apply(ctx, "examples/"+plot.session+".yaml", place); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p.began = time.Now()
	out.begin()
	err = p.follow(ctx, updates)
	p.draw()
	out.end()
	if err != nil {
		return nil, err
	}
	if !p.story.over() {
		out.print(p.failure()...)
		return nil, errViolated
	}
	out.print(p.summary()...)
	return p, nil
}

// follow takes in what happens until the story is over or has gone wrong.
func (p *player) follow(ctx context.Context, updates <-chan update) error {
	second := time.NewTicker(time.Second / 4)
	defer second.Stop()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	for !p.story.over() && !p.story.wrong() {
		p.draw()
		select {
		case u := <-updates:
			p.take(u, time.Now())
		case now := <-second.C:
			p.ticked(p.story.pass(now), now)
			if err := p.obey(ctx, now); err != nil {
				return err
			}
		case <-resized:
			p.out.resize(ctx, os.Stdout)
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, errLate) {
				return cause
			}
			return nil // the story is not over, and that is told
		}
	}
	return nil
}

func (p *player) draw() {
	p.now = time.Now()
	if p.out.live {
		p.out.draw(p.lines(p.out.width, p.out.height))
	}
}

// tell keeps news for the view, or prints them where there is none.
func (p *player) tell(n news) {
	p.news = append(p.news, n)
	if !p.out.live {
		p.out.print(text(n.plainLine()))
	}
}

func (p *player) take(u update, now time.Time) {
	switch {
	case u.trouble != "":
		p.tell(news{at: now, kind: newsTrouble, text: u.trouble})
	case u.event != nil:
		p.takeEvent(u.event, now)
	case u.gone:
		p.story.vanished(u.session.Name)
	case p.story.plot(u.session.Name) != nil:
		if is := change(&u.session.Status); u.session.Status.State != "" && p.last[u.session.Name] != is {
			p.last[u.session.Name] = is
			p.tell(news{at: now, session: u.session.Name, kind: newsChange, text: is})
		}
		p.ticked(p.story.observe(u.session, now), now)
	}
}

// takeEvent tells the operator's events, and warnings about the pods.
func (p *player) takeEvent(e *eventsv1.Event, now time.Time) {
	ofSession := e.Regarding.Kind == "AgentSession"
	n := news{at: now, session: e.Regarding.Name, text: e.Reason + ": " + strings.Join(strings.Fields(e.Note), " ")}
	switch {
	case e.Reason == "MissingClusterDNS":
		return // the one-machine cluster has none, and the examples need none
	case e.Type == corev1.EventTypeWarning:
		n.kind = newsWarning
	case !ofSession:
		return
	}
	p.tell(n)
}

func (p *player) ticked(ticks []tick, now time.Time) {
	for _, t := range ticks {
		p.tell(news{at: now, session: t.session, kind: newsTick, text: t.says})
	}
}

// obey gives the commands that are due.
func (p *player) obey(ctx context.Context, now time.Time) error {
	for _, o := range p.story.orders(now) {
		p.tell(news{at: now, session: o.session, kind: newsCommand, text: o.kubectl()})
		if err := p.cluster.patch(ctx, o); err != nil {
			return fmt.Errorf("%s: %w", o.kubectl(), err)
		}
	}
	return nil
}
