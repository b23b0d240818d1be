package main

import (
	"fmt"
	"os"

	"github.com/go-analyze/charts"
)

// drawGrowth writes a chart of the median duration of requests by number of users to a file. It does nothing if file is
// empty or growth was not measured.
func (r *report) drawGrowth(file string, sizes []int) error {
	if file == "" || r.series[growthResult(gatehouse, growthOperations[0].name, sizes[0])] == nil {
		return nil
	}
	const width, height = 800, 450
	var lines [][]float64
	var names, labels []string
	for _, op := range growthOperations {
		for _, server := range op.servers {
			var line []float64
			for _, users := range sizes {
				line = append(line, r.result(growthResult(server, op.name, users)).Median)
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
	return os.WriteFile(file, picture, 0o644) // readable by everyone
}
