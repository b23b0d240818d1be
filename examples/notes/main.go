// Command notes serves an API of notes and tags, which is made of openapi/notes.yaml.
package main

import (
	"cmp"
	"context"
	"gatehouse/apiserver"
	"gatehouse/postgres"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"example.com/notes/server"
	"example.com/notes/store"
)

//go:generate go tool gatehouse contract generate openapi

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(log); err != nil {
		log.Error("notes has ended", "err", err)
		os.Exit(1)
	}
}

// run serves until the program is interrupted.
func run(log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	database := os.Getenv("DATABASE_URL")
	if database == "" {
		private, err := postgres.Start(ctx, postgres.Config{DataDir: cmp.Or(os.Getenv("DATA_DIR"), "data"), Log: log})
		if err != nil {
			return err
		}
		defer func() { _ = private.Stop(context.WithoutCancel(ctx)) }()
		database = private.ConnString()
	}
	notes, err := store.Open(ctx, database)
	if err != nil {
		return err
	}
	defer notes.Close()
	handler, err := server.New(server.Config{
		Store: notes, Limits: apiserver.DefaultLimits(), CheckResponses: apiserver.DeparturesReported, Log: log,
	})
	if err != nil {
		return err
	}
	return apiserver.ListenAndServe(ctx, cmp.Or(os.Getenv("LISTEN"), "127.0.0.1:8080"), handler, log)
}
