package main

import (
	"fmt"
	"os"

	"github.com/go-analyze/charts"
)

// drawGrowth draws how a request's median time follows the number of users, into a file if it is named and there is
// something to draw.
func (r *report) drawGrowth(file string, sizes []int) error {
	if file == "" || r.seen[growthPoint(gatehouse, growing[0].name, sizes[0])] == nil {
		return nil
	}
	const width, height = 800, 450
	var lines [][]float64
	var names, labels []string
	for _, op := range growing {
		for _, server := range op.servers {
			var line []float64
			for _, users := range sizes {
				line = append(line, r.result(growthPoint(server, op.name, users)).Median)
			}
			lines, names = append(lines, line), append(names, server+" "+op.name)
		}
	}
	for _, users := range sizes {
		labels = append(labels, fmt.Sprintf("%d users", users))
	}
	chart := charts.NewLineChartOptionWithData(lines)
	chart.Title.Text = "One request, median, µs"
	chart.XAxis.Labels, chart.Legend.SeriesNames = labels, names
	chart.Legend.Vertical, chart.Legend.Offset = new(true), charts.OffsetRight
	chart.YAxis = []charts.YAxisOption{{Min: new(0.0)}}
	painter := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: width, Height: height})
	if err := painter.LineChart(chart); err != nil {
		return fmt.Errorf("draw growth: %w", err)
	}
	picture, err := painter.Bytes()
	if err != nil {
		return fmt.Errorf("draw growth: %w", err)
	}
	return os.WriteFile(file, picture, 0o644) // results are for everybody
}
