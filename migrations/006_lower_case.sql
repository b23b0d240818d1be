-- E-mail addresses are stored in lower case. email_key has always been the address in lower case, and unique within an
-- organisation, so that no two addresses become equal. A row that another program wrote with a key that is not that of
-- its address stays as it is.
UPDATE users SET email_address = email_key
WHERE email_address <> email_key AND lower(email_address) = lower(email_key);

-- A cname that is no host name, such as <no value>, is nobody's: any number of organisations may have it. Its key is
-- NULL (hostName in store/organisations.go). Beyond ASCII, every character may be one of a host name.
UPDATE organisations SET cname_key = NULL
WHERE translate(cname_key, 'abcdefghijklmnopqrstuvwxyz0123456789-_.:[]', '') COLLATE "C" ~ '[ -~]';
