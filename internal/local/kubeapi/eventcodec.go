package kubeapi

import (
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// eventCodec has events of events.k8s.io/v1 be stored as those of the core, so that each
// group shows the events of both.
type eventCodec struct{ runtime.Codec }

// Encode implements runtime.Encoder.
func (c eventCodec) Encode(object runtime.Object, w io.Writer) error {
	event, ok := object.(*eventsv1.Event)
	if !ok {
		return fmt.Errorf("store a %T as an event", object)
	}
	return c.Codec.Encode(coreEvent(event), w)
}

// Decode implements runtime.Decoder.
func (c eventCodec) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	var stored corev1.Event
	if _, _, err := c.Codec.Decode(data, defaults, &stored); err != nil {
		return nil, nil, fmt.Errorf("read a stored event: %w", err)
	}
	event, ok := into.(*eventsv1.Event)
	if !ok {
		event = &eventsv1.Event{}
	}
	newEvent(&stored, event)
	kind := eventsv1.SchemeGroupVersion.WithKind("Event")
	return event, &kind, nil
}

func coreEvent(e *eventsv1.Event) *corev1.Event {
	event := &corev1.Event{
		ObjectMeta: e.ObjectMeta, InvolvedObject: e.Regarding, Related: e.Related, Reason: e.Reason, Message: e.Note, Type: e.Type,
		EventTime: e.EventTime, Action: e.Action, ReportingController: e.ReportingController, ReportingInstance: e.ReportingInstance,
		Source: e.DeprecatedSource, FirstTimestamp: e.DeprecatedFirstTimestamp, LastTimestamp: e.DeprecatedLastTimestamp, Count: e.DeprecatedCount,
	}
	if e.Series != nil {
		event.Series = &corev1.EventSeries{Count: e.Series.Count, LastObservedTime: e.Series.LastObservedTime}
	}
	return event
}

func newEvent(e *corev1.Event, into *eventsv1.Event) {
	*into = eventsv1.Event{
		ObjectMeta: e.ObjectMeta, Regarding: e.InvolvedObject, Related: e.Related, Reason: e.Reason, Note: e.Message, Type: e.Type,
		EventTime: e.EventTime, Action: e.Action, ReportingController: e.ReportingController, ReportingInstance: e.ReportingInstance,
		DeprecatedSource: e.Source, DeprecatedFirstTimestamp: e.FirstTimestamp, DeprecatedLastTimestamp: e.LastTimestamp, DeprecatedCount: e.Count,
	}
	if e.Series != nil {
		into.Series = &eventsv1.EventSeries{Count: e.Series.Count, LastObservedTime: e.Series.LastObservedTime}
	}
}
