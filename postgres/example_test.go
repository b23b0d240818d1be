//go:build unix

package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/jackc/pgx/v5"

	"gatehouse/postgres"
)

// A program that needs nothing but Postgres's binaries on the machine.
func Example() {
	dir, err := os.MkdirTemp("", "gatehouse-test-") // a folder that lasts, in a program
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	cluster, err := postgres.Start(ctx, postgres.Config{
		DataDir: dir, BinDir: os.Getenv("GATEHOUSE_POSTGRES_BIN"), Log: slog.New(slog.DiscardHandler), Volatile: true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = cluster.Stop(ctx) }()
	conn, err := pgx.Connect(ctx, cluster.ConnString())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close(ctx)
	var sum int
	err = conn.QueryRow(ctx, `SELECT 1 + 1`).Scan(&sum)
	fmt.Println(sum, err)
	// Output: 2 <nil>
}
