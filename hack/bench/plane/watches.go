package plane

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Watches is how many watches the API server has open, its own too, by its
// metrics.
func (p *Plane) Watches(ctx context.Context) (int, error) {
	raw, err := p.metrics.Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the API server's metrics: %w", err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(raw))
	if err != nil {
		return 0, fmt.Errorf("read the API server's metrics: %w", err)
	}
	watches := 0
	for _, metric := range families["apiserver_longrunning_requests"].GetMetric() {
		for _, label := range metric.GetLabel() {
			if label.GetName() == "verb" && label.GetValue() == "WATCH" {
				watches += int(metric.GetGauge().GetValue())
			}
		}
	}
	if watches == 0 { // the stand-in node has one
		return 0, errors.New("the API server's metrics know of no watch")
	}
	return watches, nil
}
