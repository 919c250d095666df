package main

// Grafana's grid is 24 columns wide; a row has three panels.
const (
	panelWidth, panelHeight = 8, 8
	panelsInRow             = 3
)

// row is a heading and the panels below it.
type row struct {
	title  string
	panels []panel
}

// panel is one graph.
type panel struct {
	title, about, unit string
	stack              bool
	series             []series
}

// series is one expression of a panel; legend names its lines by their labels.
type series struct{ expr, legend string }

var source = map[string]any{"type": "prometheus", "uid": "${datasource}"}

// dashboard is the model of Grafana's JSON, of which what is left out is Grafana's default.
func dashboard() map[string]any {
	var panels []map[string]any
	id, y := 0, 0
	for _, r := range rows {
		id++
		panels = append(panels, map[string]any{"id": id, "type": "row", "title": r.title, "collapsed": false, "panels": []any{}, "gridPos": place(0, y, 24, 1)})
		y++
		for i, p := range r.panels {
			id++
			graph := p.graph()
			graph["id"], graph["gridPos"] = id, place(i%panelsInRow*panelWidth, y+i/panelsInRow*panelHeight, panelWidth, panelHeight)
			panels = append(panels, graph)
		}
		y += (len(r.panels) + panelsInRow - 1) / panelsInRow * panelHeight
	}
	return map[string]any{
		"uid": "agentsession", "title": "AgentSession", "tags": []string{"agentsession"},
		"schemaVersion": 38, "version": 1, "editable": true, "refresh": "30s",
		"time": map[string]any{"from": "now-1h", "to": "now"},
		"templating": map[string]any{"list": []map[string]any{
			{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
		}},
		"panels": panels,
	}
}

func place(x, y, w, h int) map[string]int { return map[string]int{"x": x, "y": y, "w": w, "h": h} }

func (p panel) graph() map[string]any {
	var targets []map[string]any
	for i, s := range p.series {
		targets = append(targets, map[string]any{"refId": string(rune('A' + i)), "datasource": source, "expr": s.expr, "legendFormat": s.legend, "range": true})
	}
	custom := map[string]any{"showPoints": "never", "fillOpacity": 0}
	if p.stack {
		custom["fillOpacity"], custom["stacking"] = 50, map[string]any{"mode": "normal"}
	}
	return map[string]any{
		"type": "timeseries", "title": p.title, "description": p.about, "datasource": source, "targets": targets,
		"fieldConfig": map[string]any{"defaults": map[string]any{"unit": p.unit, "custom": custom}, "overrides": []any{}},
		"options": map[string]any{
			"legend":  map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": true},
			"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
		},
	}
}
