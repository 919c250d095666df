package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/agentsession/agentsession/internal/apiserver"
)

// TestTheNewestEvents are shown, in their order, whatever order and pages they come in.
func TestTheNewestEvents(t *testing.T) {
	d := newDesk(t)
	const pages = 3
	asked := 0
	c := interceptor.NewClient(d.client, interceptor.Funcs{List: func(_ context.Context, _ client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		o := (&client.ListOptions{}).ApplyOptions(opts)
		d.Expect(strings.Split(o.FieldSelector.String(), ",")).To(ConsistOf("involvedObject.kind=AgentSession", "involvedObject.name=x", "involvedObject.uid=u"))
		d.Expect(o.Limit).To(BeEquivalentTo(page))
		if asked > 0 {
			d.Expect(o.Continue).To(Equal(fmt.Sprint(asked)))
		}
		into := list.(*corev1.EventList)
		for i := range page {
			age := time.Duration(asked+pages*i) * time.Second // the first of each page is among the newest
			into.Items = append(into.Items, corev1.Event{Message: age.String(), LastTimestamp: *back(age)})
		}
		if asked++; asked < pages {
			into.Continue = fmt.Sprint(asked)
		}
		return nil
	}})
	var said bytes.Buffer
	e := explainer{cluster: &cluster{WithWatch: c, namespace: "default", now: func() time.Time { return night }}, err: &said}
	events := e.events(t.Context(), "AgentSession", "x", "u")
	d.Expect(asked).To(Equal(pages))
	d.Expect(events).To(HaveLen(apiserver.MaxEvents))
	for i := range events {
		d.Expect(events[i].Message).To(Equal((time.Duration(apiserver.MaxEvents-1-i) * time.Second).String()))
	}
	d.Expect(said.String()).To(BeEmpty())

	endless := interceptor.NewClient(d.client, interceptor.Funcs{List: func(_ context.Context, _ client.WithWatch, list client.ObjectList, _ ...client.ListOption) error {
		into := list.(*corev1.EventList)
		into.Items, into.Continue = make([]corev1.Event, page), "more"
		return nil
	}})
	e.WithWatch = endless
	d.Expect(e.events(t.Context(), "AgentSession", "x", "u")).To(HaveLen(apiserver.MaxEvents))
	d.Expect(said.String()).To(Equal("warning: it has more than 10000 Events, of which some were not read\n"))
}

func TestEventTime(t *testing.T) {
	g := NewWithT(t)
	at := func(minutes int) time.Time { return night.Add(time.Duration(minutes) * time.Minute) }
	e := &corev1.Event{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(at(0))}}
	g.Expect(apiserver.EventTime(e)).To(Equal(at(0)))
	e.EventTime = metav1.NewMicroTime(at(1))
	g.Expect(apiserver.EventTime(e)).To(Equal(at(1)))
	e.FirstTimestamp, e.LastTimestamp = metav1.NewTime(at(1)), metav1.NewTime(at(2))
	g.Expect(apiserver.EventTime(e)).To(Equal(at(2)))
	e.Series = &corev1.EventSeries{LastObservedTime: metav1.NewMicroTime(at(3))}
	g.Expect(apiserver.EventTime(e)).To(Equal(at(3)))
}
