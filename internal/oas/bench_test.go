package oas

import "testing"

// BenchmarkConvert converts the documents of settingsData, one after another.
func BenchmarkConvert(b *testing.B) {
	base, lines := readSettings(b)
	docs := make([][]byte, len(lines))
	for i, line := range lines {
		docs[i] = line.document(b, base)
	}
	identity := Identity{ID: "0f3b", DBID: "5fa2db834e07444f760b7cec", OrgID: "53ac07777cbb8c2d53000003"}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := Convert(docs[i%len(docs)], identity, Options{}); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "documents/s")
}
