// Reports each declared tag that no operation has. A tag that is not declared is reported first, by
// another rule: it may be the misspelt name of one that is.
export default function tagsAreUsed(document) {
  const items = Object.values(document.paths ?? {});
  const operations = items.flatMap((item) => Object.values(item ?? {}));
  const used = new Set(operations.flatMap((operation) => operation?.tags ?? []));
  const declared = (document.tags ?? []).map((tag) => tag.name);
  if ([...used].some((name) => !declared.includes(name))) {
    return [];
  }
  return declared.flatMap((name, index) => {
    const problem = { message: `no operation has the tag "${name}": remove it`, path: ['tags', index] };
    return used.has(name) ? [] : [problem];
  });
}
