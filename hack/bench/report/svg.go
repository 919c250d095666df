package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strings"
)

// chart is a plot of some series over the same places: bars in groups, or lines
// if at says where on the axis the places are.
type chart struct {
	title  string
	x, y   string // what the axes show, with units
	places []string
	at     []float64
	series []series
	tones  []string // of the series; colours if there are none
}

// series has a value for each place; NaN where nothing was measured.
type series struct {
	name   string
	values []float64
}

// Sizes in pixels. The background is drawn, and so are all colours: a plot is
// read as well on a dark page.
const (
	width, height            = 760, 400
	left, right, top, bottom = 70, 24, 86, 56
	plotWidth, plotHeight    = width - left - right, height - top - bottom

	ink, faint, paper = "#1f2328", "#d8dee4", "#ffffff"
)

// colours are told apart by those who see no red or no green, too.
var (
	colours = []string{"#0072b2", "#e69f00", "#7f7f7f"}
	pairs   = []string{"#7fb9da", "#f5d38a", "#0072b2", "#e69f00"} // two and two that belong together
)

func (c chart) colour(series int) string {
	if c.tones != nil {
		return c.tones[series]
	}
	return colours[series]
}

// measured tells whether there is anything to draw.
func (c chart) measured() bool {
	for _, s := range c.series {
		for _, v := range s.values {
			if !math.IsNaN(v) {
				return true
			}
		}
	}
	return false
}

func (c chart) svg() []byte {
	d := &drawing{}
	d.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" font-family="sans-serif" font-size="13" fill="%s">`+"\n", width, height, ink)
	d.printf("<title>%s</title>\n", html.EscapeString(c.title))
	d.printf(`<rect width="%d" height="%d" rx="6" fill="%s" stroke="%s"/>`+"\n", width, height, paper, faint)
	d.text(left, 28, `font-size="16" font-weight="bold"`, c.title)
	c.legend(d)
	scale := c.scale()
	c.axes(d, scale)
	if c.at != nil {
		c.lines(d, scale)
	} else {
		c.bars(d, scale)
	}
	d.WriteString("</svg>\n")
	return d.Bytes()
}

func (c chart) legend(d *drawing) {
	x := float64(left)
	for i, s := range c.series {
		d.printf(`<rect x="%.1f" y="43" width="12" height="12" fill="%s"/>`+"\n", x, c.colour(i))
		d.text(x+18, 54, "", s.name)
		x += 36 + 7.2*float64(len(s.name))
	}
}

// scale is a vertical axis from 0 to top, with a mark at each step.
type scale struct{ top, step float64 }

func (s scale) y(value float64) float64 { return top + plotHeight*(1-value/s.top) }

// scale has room for the largest value, and four to ten marks.
func (c chart) scale() scale {
	largest := 0.0
	for _, s := range c.series {
		for _, v := range s.values {
			if !math.IsNaN(v) {
				largest = max(largest, v)
			}
		}
	}
	if largest == 0 {
		return scale{1, 1}
	}
	step := math.Pow(10, math.Floor(math.Log10(largest)))
	for _, finer := range []float64{1, 2, 5, 10} {
		if largest/(step/finer) >= 4 {
			step /= finer
			break
		}
	}
	return scale{math.Ceil(largest*1.02/step) * step, step}
}

func (c chart) axes(d *drawing, s scale) {
	for i := 0; float64(i)*s.step <= s.top*1.0001; i++ {
		y := s.y(float64(i) * s.step)
		d.line(left, y, width-right, y, faint, 1)
		d.text(left-8, y+4, `text-anchor="end"`, number(float64(i)*s.step))
	}
	d.line(left, s.y(0), width-right, s.y(0), ink, 1)
	free := 0.0
	for i, place := range c.places {
		if half := 4 * float64(len(place)); c.place(i)-half >= free {
			d.text(c.place(i), height-bottom+20, `text-anchor="middle"`, place)
			free = c.place(i) + half
		}
	}
	d.text(left+plotWidth/2, height-12, `text-anchor="middle"`, c.x)
	middle := top + plotHeight/2
	d.text(18, float64(middle), fmt.Sprintf(`text-anchor="middle" transform="rotate(-90 18 %d)"`, middle), c.y)
}

// place is where on the horizontal axis a place is.
func (c chart) place(i int) float64 {
	if c.at == nil {
		return left + plotWidth*(float64(i)+.5)/float64(len(c.places))
	}
	return left + (plotWidth-30)*c.at[i]/c.at[len(c.at)-1]
}

func (c chart) bars(d *drawing, s scale) {
	group := plotWidth / float64(len(c.places))
	bar := min(group*.86/float64(len(c.series)), 64)
	for i := range c.places {
		for j, one := range c.series {
			x := c.place(i) + bar*(float64(j)-float64(len(c.series))/2)
			value := one.values[i]
			if math.IsNaN(value) {
				d.text(x+bar/2, s.y(0)-5, `text-anchor="middle" font-size="11"`, "–")
				continue
			}
			d.printf(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n",
				x+1, s.y(value), bar-2, s.y(0)-s.y(value), c.colour(j))
			d.text(x+bar/2, s.y(value)-5, `text-anchor="middle" font-size="11"`, label(value))
		}
	}
}

func (c chart) lines(d *drawing, s scale) {
	for j, one := range c.series {
		var points []string
		for i, value := range one.values {
			if math.IsNaN(value) {
				continue
			}
			x, y := c.place(i), s.y(value)
			points = append(points, fmt.Sprintf("%.1f,%.1f", x, y))
			d.printf(`<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`+"\n", x, y, c.colour(j))
			if i == len(one.values)-1 { // the others are in the table, and too near to each other
				d.text(x, y-9, `text-anchor="middle" font-size="11"`, label(value))
			}
		}
		d.printf(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), c.colour(j))
	}
}

// drawing is an SVG in the making.
type drawing struct{ bytes.Buffer }

func (d *drawing) printf(format string, args ...any) { _, _ = fmt.Fprintf(d, format, args...) }

func (d *drawing) text(x, y float64, style, text string) {
	d.printf(`<text x="%.1f" y="%.1f" %s>%s</text>`+"\n", x, y, style, html.EscapeString(text))
}

func (d *drawing) line(x1, y1, x2, y2 float64, colour string, thick int) {
	d.printf(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%d"/>`+"\n", x1, y1, x2, y2, colour, thick)
}

// label is a number that has a narrow bar to stand on.
func label(x float64) string {
	if x < 9.5 {
		return fmt.Sprintf("%.2g", x)
	}
	return number(x)
}

// number is short: three digits that count, and whole from a hundred on.
func number(x float64) string {
	size := math.Abs(x)
	switch {
	case size >= 99.95:
		return thousands(fmt.Sprintf("%.0f", x))
	case size >= 9.995:
		return trim(fmt.Sprintf("%.1f", x))
	case size >= .9995:
		return trim(fmt.Sprintf("%.2f", x))
	}
	return trim(fmt.Sprintf("%.3f", x))
}

func trim(digits string) string { return strings.TrimSuffix(strings.TrimRight(digits, "0"), ".") }

// thousands parts the digits of a whole number.
func thousands(digits string) string {
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
