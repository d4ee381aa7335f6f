// What manual pages are written in: man(7).

/** Plain text that means itself in a manual page. */
export function roffText(text) {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('`', '\\(ga')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replaceAll('"', '\\(dq')
    .replaceAll("'", '\\(aq')
    .replace(/^\./gm, '\\&.');
}

/** An argument of a macro. */
const quoted = (text) => `"${roffText(text)}"`;

export const heading = (text) => `.SH ${quoted(text)}`;
export const subheading = (text) => `.SS ${quoted(text)}`;
/** The first paragraph below a heading needs no macro; further ones are of no use in these pages. */
export const paragraph = (text) => roffText(text);
export const bold = (text) => `.B ${quoted(text)}`;
/** A term and what it means. */
export const item = (term, text) => `.TP\n.B ${quoted(term)}\n${text === '' ? '\\&' : roffText(text)}`;
/** Lines that are shown as they are. */
export const literal = (text) => `.nf\n.RS 4\n${roffText(text.trimEnd())}\n.RE\n.fi`;

/** The head of a page; the day is of the release, so that the same source makes the same page. */
export function title({ name, section, date, version, manual }) {
  return `.TH ${quoted(name.toUpperCase())} ${section} "${date}" ${quoted(`gantry ${version}`)} ${quoted(manual)}`;
}
