package main

import "context"

// run writes until ctx ends. It does not cancel requests in progress.
func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		w.act(context.WithoutCancel(ctx))
	}
}

// The shares of these writes, in percent. The others write an object of a random kind.
const shareOfBulks, shareOfNonces, shareOfRaces, shareOfLogins = 4, 12, 4, 3

// act performs one random write.
func (w *worker) act(ctx context.Context) {
	n := w.random.IntN(100)
	for _, each := range []struct {
		share int
		do    func(context.Context)
	}{{shareOfBulks, w.importBulk}, {shareOfNonces, w.useNonce}, {shareOfRaces, w.race}, {shareOfLogins, w.setPassword}} {
		if n -= each.share; n < 0 {
			each.do(ctx)
			return
		}
	}
	w.write(ctx, &w.kinds[w.random.IntN(len(w.kinds))])
}

// rehearse sends each write of each kind once, before anything is disturbed.
func (w *worker) rehearse(ctx context.Context) {
	for i := range w.kinds {
		k := &w.kinds[i]
		w.create(ctx, k)
		if len(w.objects) == 0 {
			continue
		}
		o := w.objects[len(w.objects)-1]
		if o.kind != k {
			w.report.failf("no %s was created", k.name)
			continue
		}
		for _, s := range k.changes {
			w.apply(ctx, o, s)
		}
		if k.remove != nil {
			w.apply(ctx, o, step{call: k.remove.call, sets: removed})
		}
	}
	for range 3 { // the first calls of some only create what later ones change
		w.importBulk(ctx)
		w.useNonce(ctx)
		w.race(ctx)
		w.setPassword(ctx)
	}
}
