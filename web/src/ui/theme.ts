import { type CSSVariablesResolver, createTheme, type MantineColorsTuple } from '@mantine/core'

const keep: MantineColorsTuple = [
  '#e8f4fb',
  '#d3e6f2',
  '#a5cbe3',
  '#73afd4',
  '#4c97c7',
  '#3388c0',
  '#2480bd',
  '#146ea7',
  '#0b5c8c',
  '#004e7a',
]

/** Cool greys, text first, the page's ground seventh. */
const dark: MantineColorsTuple = [
  '#e4e8ec',
  '#c6cdd4',
  '#a7b0ba',
  '#7f8a95',
  '#39424c',
  '#2b333c',
  '#20272e',
  '#171c22',
  '#11151a',
  '#0b0e12',
]

export const theme = createTheme({
  colors: { keep, dark },
  primaryColor: 'keep',
  primaryShade: { light: 8, dark: 8 },
  autoContrast: true,
  cursorType: 'pointer',
  respectReducedMotion: true,
  defaultRadius: 'md',
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace',
  components: {
    Badge: { defaultProps: { tt: 'none' } },
    // Help stands below its field, so that fields of one row stand on one line.
    InputWrapper: { defaultProps: { inputWrapperOrder: ['label', 'input', 'description', 'error'] } },
  },
  headings: { fontWeight: '650', sizes: { h1: { fontSize: '1.6rem' }, h2: { fontSize: '1.2rem' } } },
})

/** Greys and reds that can be read at any size (WCAG AA asks for 4.5 : 1). */
export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    // The page's ground, from which cards and tables stand out.
    '--ground': '#f6f8fa',
    // Commands and snippets, which stand on the ground and on cards.
    '--well': '#eceff3',
    '--mantine-color-dimmed': '#59616a',
    '--mantine-color-placeholder': '#656d76',
    '--mantine-color-error': '#b42318',
    // Beside black text it differs by more than 3 : 1, so it needs no line below.
    '--mantine-color-anchor': '#11689e',
    '--tone-good': '#18794e',
    '--tone-note': '#0b5c8c',
    '--tone-warn': '#8a4b00',
    '--tone-bad': '#b42318',
    '--tone-idle': '#59616a',
    '--tone-good-fill': '#2f9e6b',
    '--tone-note-fill': '#5aa9d6',
    '--tone-warn-fill': '#e08e1b',
    '--tone-bad-fill': '#d6453d',
    '--tone-idle-fill': '#dfe3e8',
    '--tone-good-soft': '#e6f6ee',
    '--tone-note-soft': '#e8f4fb',
    '--tone-warn-soft': '#fdf1dd',
    '--tone-bad-soft': '#fdeceb',
    '--tone-idle-soft': '#f1f3f5',
  },
  dark: {
    '--ground': 'var(--mantine-color-body)',
    '--well': 'var(--mantine-color-dark-5)',
    '--mantine-color-disabled': '#2b333c',
    '--mantine-color-disabled-border': '#39424c',
    '--mantine-color-dimmed': '#a9b1ba',
    '--mantine-color-placeholder': '#9aa2ab',
    '--mantine-color-error': '#ff9a92',
    '--mantine-color-anchor': '#73c0ee',
    '--tone-good': '#6fdaa5',
    '--tone-note': '#73c0ee',
    '--tone-warn': '#ffbf69',
    '--tone-bad': '#ff9a92',
    '--tone-idle': '#a9b1ba',
    '--tone-good-fill': '#2f9e6b',
    '--tone-note-fill': '#3d8fc0',
    '--tone-warn-fill': '#d98a1d',
    '--tone-bad-fill': '#d6453d',
    '--tone-idle-fill': '#3a444e',
    '--tone-good-soft': '#16352a',
    '--tone-note-soft': '#12303f',
    '--tone-warn-soft': '#3b2c12',
    '--tone-bad-soft': '#41201e',
    '--tone-idle-soft': '#2b333c',
  },
})
