const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** `187.1 MiB`: the units and the precision that the command line uses. */
export function bytes(amount: number | null | undefined): string {
  if (amount === null || amount === undefined) return '–'
  let value = amount
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit += 1
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(1)} ${UNITS[unit]}`
}

/** `1,556,967`, as the language writes it. */
export function count(amount: number | null | undefined, language: string): string {
  return amount === null || amount === undefined ? '–' : new Intl.NumberFormat(language).format(amount)
}

/** `14.6 %`; what is above nothing never reads as nothing. */
export function share(part: number, whole: number): string {
  if (whole <= 0) return '–'
  const percent = (part / whole) * 100
  if (percent > 0 && percent < 0.1) return '< 0.1 %'
  return `${percent.toFixed(percent < 10 ? 1 : 0)} %`
}

/** The first eight characters, which is how people call a backup. */
export function shortId(id: string): string {
  return id.slice(0, 8)
}
