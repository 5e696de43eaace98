// What a job's answers add up to: tiles, and bars with their intervals.
import { number, percent, said, t } from "./i18n.js";
import { bars, html, interval, nothing, tile } from "./ui.js";
import { panelView } from "./voters.js";

// Votes over sets of labels can have more winners than a chart has room for.
const SHOWN_LABELS = 12;

export function sumsView(sums, running) {
  const answered = sums.answered + sums.failed;
  return html`
    <div class="tiles">${tiles(sums)}</div>
    ${sums.scoring ? html`<p class="muted scoring">${said(sums.scoring, sums.scoring_message)}</p>` : nothing}
    ${answered && running ? html`<p class="muted">${t("job.sofar")}</p>` : nothing}
    ${answered ? html`<div class="charts">${charts(sums)}</div>` : nothing}
    ${answered && sums.panel ? panelView(sums.panel) : nothing}`;
}

const tiles = (sums) => html`
  ${sums.accuracy ? tile("accuracy", percent(sums.accuracy.value), t("interval", { low: percent(sums.accuracy.low), high: percent(sums.accuracy.high) })) : nothing}
  ${sums.options_f1 ? tile("options.f1", percent(sums.options_f1.value), t("options.f1.of", counts(sums.options_f1))) : nothing}
  ${sums.several_right ? tile("several.right", number(sums.several_right)) : nothing}
  ${sums.agreement === null ? nothing : tile("agreement", percent(sums.agreement))}
  ${tile("samples.drawn", number(sums.samples.drawn), t("samples.saved", { count: number(sums.samples.saved) }))}
  ${tile("samples.invalid", number(sums.samples.invalid))}
  ${tile("flag.tie", number(sums.flags.tie))}
  ${tile("flag.forced", number(sums.flags.forced))}
  ${tile("flag.resampled", number(sums.flags.resampled))}
  ${sums.flags.one_label ? tile("flag.one_label", number(sums.flags.one_label)) : nothing}
  ${sums.cut ? tile("flag.cut", number(sums.cut.questions), t("cut.advice", { limit: number(sums.cut.max_tokens), proposed: number(sums.cut.proposed_max_tokens) })) : nothing}
  ${tile("tokens", number(sums.tokens.prompt + sums.tokens.completion), t("tokens.completion", { count: number(sums.tokens.completion) }))}`;

const counts = ({ right, wrong, missing }) => ({
  right: number(right),
  wrong: number(wrong),
  missing: number(missing),
});

const charts = (sums) => html`
  ${chart("chart.agreement", agreementBars(sums))}
  ${sums.accuracy ? chart("chart.levels", levelBars(sums), t("chart.interval")) : nothing}
  ${chart("chart.labels", labelBars(sums))}
  ${sums.accuracy_by_votes.length ? chart("chart.votes", votesBars(sums), t("chart.interval")) : nothing}
  ${sums.accuracy_by_vote?.length ? chart("chart.ways", sums.accuracy_by_vote.map(wayBar), waysNote(sums)) : nothing}`;

const chart = (title, rows, note) => html`
  <div class="card"><h2>${t(title)}</h2>${bars(t(title), rows)}${note ? html`<p class="muted">${note}</p>` : nothing}</div>`;

function levelName({ above, up_to }) {
  const edge = up_to > 0.99 && up_to < 1 ? "< 100%" : percent(up_to, 0);
  return above > 0.99 ? percent(1, 0) : `${percent(above, 0)} – ${edge}`;
}

function agreementBars({ agreement_levels }) {
  const most = Math.max(1, ...agreement_levels.map((level) => level.questions));
  return agreement_levels.map((level) => ({
    name: levelName(level),
    share: level.questions / most,
    text: number(level.questions),
  }));
}

const accuracyBar = (name, accuracy, text) => ({
  name,
  share: accuracy.value,
  low: accuracy.low,
  high: accuracy.high,
  text,
  tone: "good",
});

const levelBars = ({ agreement_levels }) =>
  agreement_levels.map((level) => accuracyBar(levelName(level), level.accuracy, percent(level.accuracy.value)));

function votesBars({ accuracy_by_votes, accuracy_first_draw }) {
  const votes = accuracy_by_votes.map(({ votes, accuracy }) =>
    accuracyBar(votes === 1 ? t("chart.sample") : t("chart.vote", { votes }), accuracy, interval(accuracy)),
  );
  return accuracy_first_draw
    ? [accuracyBar(t("chart.firstdraw"), accuracy_first_draw, interval(accuracy_first_draw)), ...votes]
    : votes;
}

// A way of voting, and if it differs from one vote a sample.
function wayBar({ vote, accuracy, p_value }) {
  const text =
    p_value === null ? interval(accuracy) : t("chart.ways.p", { interval: interval(accuracy), p: number(p_value, 3) });
  return accuracyBar(t(`setting.${vote}`), accuracy, text);
}

function waysNote({ accuracy_by_vote }) {
  const count = Math.max(...accuracy_by_vote.map(({ unsettled }) => unsettled));
  return count ? t("chart.ways.unsettled", { count: number(count) }) : t("chart.ways.why");
}

// A bar a label or set of labels, and one for its share of the keys. Rare sets are summed up.
function labelBars({ labels, keys, answered, failed }) {
  const keyed = Object.values(keys).reduce((a, b) => a + b, 0);
  const often = (name) => (labels[name] || 0) + (keys[name] || 0);
  const names = [...new Set([...Object.keys(labels), ...Object.keys(keys)])].sort((a, b) => often(b) - often(a));
  const shown = names.slice(0, SHOWN_LABELS).sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
  const pair = (name, given, wanted) => {
    const bar = (title, count, of, tone) => ({
      name: title,
      tone,
      share: of ? count / of : 0,
      text: percent(of ? count / of : 0),
    });
    const answers = bar(name, given, answered + failed, "");
    return keyed ? [answers, bar(t("chart.key"), wanted, keyed, "key")] : [answers];
  };
  const rest = names.slice(SHOWN_LABELS);
  const sum = (counted) => rest.reduce((total, name) => total + (counted[name] || 0), 0);
  return [
    ...shown.flatMap((name) => pair(name, labels[name] || 0, keys[name] || 0)),
    ...(rest.length ? pair(t("chart.others", { count: rest.length }), sum(labels), sum(keys)) : []),
  ];
}
