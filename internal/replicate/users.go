package replicate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"gatehouse/internal/remote"
)

// user has the members of a user that a request sets. The server sets the others.
type user struct {
	FirstName       string            `json:"first_name"`
	LastName        string            `json:"last_name"`
	EmailAddress    string            `json:"email_address"`
	OrgID           string            `json:"org_id"`
	Active          bool              `json:"active"`
	AccessKey       string            `json:"access_key,omitempty"`
	UserPermissions map[string]string `json:"user_permissions"`
	GroupID         string            `json:"group_id"`
	PasswordMaxDays int               `json:"password_max_days"`
}

// storedUser is a user of the target.
type storedUser struct {
	user

	ID              string    `json:"id"`
	PasswordUpdated time.Time `json:"password_updated"`
}

// sameAs reports whether two users of one organisation and e-mail address are equal, except for their access keys.
func (u user) sameAs(other user) bool {
	return u.FirstName == other.FirstName && u.LastName == other.LastName && u.Active == other.Active &&
		u.GroupID == other.GroupID && u.PasswordMaxDays == other.PasswordMaxDays &&
		maps.Equal(u.UserPermissions, other.UserPermissions)
}

// users copies the users of an organisation; "" is the organisation of super users.
func (c *copier) users(ctx context.Context, organisation string) (err error) {
	source, target, err := c.lists(ctx, remote.User, organisation)
	if err != nil || source == nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll(source, target)) }()
	stored, err := usersByAddress(target)
	if err != nil {
		return err
	}
	for doc, err := range source.All() {
		if err != nil {
			return fmt.Errorf("users of the source: %w", err)
		}
		var given user
		if err := json.Unmarshal(doc, &given); err != nil {
			c.record(object{remote.User, organisation, remote.IDOf(remote.User, doc)}, err)
			continue
		}
		given.OrgID = organisation // encoding/json also accepts the name in another case
		if given.UserPermissions == nil {
			given.UserPermissions = map[string]string{} // a user without the member would be an administrator
		}
		if given.GroupID != "" {
			c.report.grouped++
		}
		if err := c.user(ctx, given, stored[strings.ToLower(given.EmailAddress)]); err != nil {
			return err
		}
	}
	return nil
}

func usersByAddress(list *remote.List) (map[string]*storedUser, error) {
	stored := map[string]*storedUser{}
	if list == nil {
		return stored, nil
	}
	for doc, err := range list.All() {
		var one storedUser
		if err == nil {
			err = json.Unmarshal(doc, &one)
		}
		if err != nil {
			return nil, fmt.Errorf("users of the target: %w", err)
		}
		stored[strings.ToLower(one.EmailAddress)] = &one
	}
	return stored, nil
}

// user copies a user. stored is the target's user with this address, nil if there is none.
func (c *copier) user(ctx context.Context, given user, stored *storedUser) error {
	object := object{remote.User, given.OrgID, given.EmailAddress}
	exists := stored != nil
	if !exists {
		created, err := c.to.CreateUser(ctx, given.request(""))
		if err != nil {
			return c.failed(object, err)
		}
		stored = &storedUser{user: given, ID: created.ID}
		stored.AccessKey = created.AccessKey
	}
	changed := exists && !given.sameAs(stored.user)
	if changed {
		if err := c.to.UpdateUser(ctx, stored.ID, given.request("")); err != nil {
			return c.failed(object, err)
		}
	}
	adopted, err := c.accessKey(ctx, given, stored)
	if err != nil {
		return err
	}
	switch {
	case !exists:
		c.report.saved(remote.User, false)
	case changed || adopted:
		c.report.saved(remote.User, true)
	default:
		c.report.count(remote.User).Unchanged++
	}
	if stored.PasswordUpdated.IsZero() {
		c.report.WithoutPassword = append(c.report.WithoutPassword, NamedUser{given.OrgID, given.EmailAddress})
	}
	return nil
}

// request returns the body of a request that stores the user. If accessKey is "", the server does not change the key.
func (u user) request(accessKey string) json.RawMessage {
	u.AccessKey = accessKey
	raw, err := json.Marshal(u) //nolint:gosec // the request is for the access key
	if err != nil {
		panic(err) // it consists of texts, numbers and booleans
	}
	return raw
}

// accessKey copies the access key of a user, and reports whether the target has changed it. A key that the source does
// not send, or that the target refuses, is in the report.
func (c *copier) accessKey(ctx context.Context, given user, stored *storedUser) (adopted bool, err error) {
	if given.AccessKey == stored.AccessKey {
		return false, nil
	}
	if given.AccessKey == "" {
		c.report.note("access keys of users: the source does not send them all")
	} else {
		err = c.to.UpdateUser(ctx, stored.ID, given.request(given.AccessKey))
		if err == nil {
			return true, nil
		}
		if remote.IsFatal(err) {
			return false, fmt.Errorf("access key of user %s: %w", given.EmailAddress, err)
		}
		c.report.note("access keys of users: the target does not accept them all")
	}
	c.report.OtherAccessKey = append(c.report.OtherAccessKey, NamedUser{given.OrgID, given.EmailAddress})
	return false, nil
}
