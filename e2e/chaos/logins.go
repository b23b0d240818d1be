package main

import (
	"context"
	"fmt"
)

// login is a user with a password.
type login struct {
	target    target
	asUser    *caller
	passwords []string // the possible ones; one of them is the user's
}

// setPassword sets the password of a user, or creates another user with a password.
func (w *worker) setPassword(ctx context.Context) {
	if len(w.logins) == 0 || w.random.IntN(4) == 0 {
		w.addLogin(ctx)
		return
	}
	l := w.logins[w.random.IntN(len(w.logins))]
	if len(l.passwords) > 1 {
		return
	}
	marker := w.newMarker()
	l.target.marker = marker
	set := withIDAndBody((*api).SetUserPasswordWithBodyWithResponse, `{"new_password":"%m"}`)
	switch a := w.caller().do(ctx, set, l.target); a.verdict {
	case acknowledged:
		w.acknowledged++
		l.passwords = []string{marker}
	case uncertain:
		l.passwords = append(l.passwords, marker)
	case absent, refused:
		w.report.failf("%s\n\texpected that an administrator sets a password", a.text)
	}
}

func (w *worker) addLogin(ctx context.Context) {
	t := target{org: w.org, marker: w.newMarker()}
	c := w.caller()
	created := c.do(ctx, withBody((*api).CreateUserWithBodyWithResponse, `{`+user+`}`), t)
	if created.verdict != acknowledged {
		return
	}
	t.id = metaMember("id")(created.body)
	asUser, err := w.callerOf(c.server, member("Message")(created.body))
	if err != nil {
		w.report.failf("%s", err)
		return
	}
	set := withIDAndBody((*api).SetUserPasswordWithBodyWithResponse, `{"new_password":"%m"}`)
	if a := c.do(ctx, set, t); a.verdict == acknowledged {
		w.logins = append(w.logins, &login{target: t, asUser: asUser, passwords: []string{t.marker}})
	}
}

// check requires that one of the possible passwords is accepted as the current one.
func (l *login) check(ctx context.Context) error {
	var last answer
	for _, password := range l.passwords {
		t := l.target
		t.marker = password
		last = l.asUser.do(ctx, withIDAndBody((*api).SetUserPasswordWithBodyWithResponse,
			`{"current_password":"%m","new_password":"%m"}`), t)
		switch last.verdict {
		case acknowledged:
			return nil
		case uncertain:
			return fmt.Errorf("%w: %s", errUnreadable, last.text)
		case absent, refused:
		}
	}
	return fmt.Errorf("%s\n\texpected one of %q to be the user's password", last.text, l.passwords)
}
