"""Topics and prompt templates of the rehearsal, in English and Chinese.

`{t}` is the topic and `{n}` the length. The benchmark has its own topics, which no prompt of the pool uses, except for planned leaks.
"""

from typing import NamedTuple

from tasks.schema.records import Language


def _list(text: str) -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in text.split("|"))


class Genre(NamedTuple):
    """Matching topics and templates. `type`: the genre in LongBench-Write."""

    type: str
    templates: tuple[str, ...]
    topics: tuple[str, ...]
    benchmark: tuple[str, ...]


ENGLISH = (
    Genre(
        "Popular Science",
        _list("""Write a {n}-word essay about {t}.
            | Write an article on {t}. It should be about {n} words long.
            | Please write a beginner's guide to {t} in roughly {n} words.
            | I run a small blog and need a post about {t}, around {n} words. A warm, clear tone please.
            | Can you write {n} words on {t} for a general reader?
            | Explain {t} to a curious teenager in about {n} words.
            | I need a {n} word column about {t} for our village newsletter.
            | Give me an overview of {t} in {n} words, with an introduction and a conclusion.
            | Compose a thoughtful piece on {t}, approximately {n} words.
            | Write a text about {t} that an adult can read aloud to a class. At least {n} words."""),
        _list("""keeping bees on a balcony | baking sourdough bread at home | repairing an old bicycle | growing tomatoes in pots
            | learning to play the cello as an adult | the history of the umbrella | watching birds in a city park | brewing tea properly
            | mending clothes by hand | walking to work every day | the craft of clockmaking | raising chickens in a small garden
            | travelling by night train | the habits of hedgehogs | drying herbs for the winter | painting with watercolours
            | the invention of the pencil | sleeping well in summer | keeping a family diary | choosing a first telescope
            | making soap from olive oil | the life of a river otter | planning a street party | the story of the postcard
            | training a shy dog | swimming in cold lakes | restoring wooden chairs | reading maps without a phone
            | the history of the lighthouse | collecting rainwater for a garden | cooking lentils on a small budget
            | the art of paper folding
            | living next to a railway line | planting a hedge for wildlife | the science of soap bubbles | saving seeds from year to year
            | cycling in the rain | the rise of public libraries | caring for houseplants in winter | making cheese in a home kitchen
            | the migration of swallows | learning sign language | writing letters by hand | organising a toy library
            | the weather in the mountains | building a stone wall | picking mushrooms safely | the history of chocolate
            | recording the stories of grandparents | sharing tools with neighbours"""),
        _list("the history of the bridge | keeping goldfish in a pond | making candles from beeswax | the habits of city foxes"),
    ),
    Genre(
        "News Report",
        _list("""Write a news feature about {t}. Length: {n} words.
            | Draft a {n}-word report on {t} for a local council meeting.
            | You are a reporter at a small paper. File a story about {t}, {n} words.
            | Please write a balanced press article on {t} in about {n} words."""),
        _list("""a new footpath along the canal | the reopening of the village bakery | the shortage of bus drivers
            | a flood at the old market hall
            | the first solar roof on a school | the return of the summer fair | the closing of the last cinema | a record apple harvest
            | the night buses to the hospital | a repair shop run by pensioners | the noise of the new ring road
            | the rescue of a stranded seal
            | a garden on the roof of the library | rising rents near the station | the hundredth birthday of a choir
            | free lunches at the primary school"""),
        _list("a new ferry across the harbour | the return of the town orchestra"),
    ),
    Genre(
        "Academic and Monograph",
        _list("""Write an academic essay of about {n} words on {t}.
            | Please draft the introduction of a term paper on {t}. Around {n} words.
            | Summarise what research says about {t} in {n} words, for first-year students.
            | Write a {n}-word discussion paper on {t} with a clear thesis."""),
        _list("""the effect of green spaces on health | how children learn two languages | the economics of small farms
            | memory in old age
            | the design of safe crossings | trust between neighbours | school uniforms and belonging | noise in open offices
            | the value of volunteer work | how cities cope with heat | the history of paid holidays | music and concentration
            | the decline of local newspapers | food waste in households | shift work and sleep | play in early childhood"""),
        _list("the social role of barber shops | daylight in classrooms"),
    ),
    Genre(
        "Literature and Creative Writing",
        _list("""Write a short story about {t}. Aim for {n} words.
            | Tell me a {n}-word story about {t}, with a hopeful ending.
            | Write the opening chapter of a novel about {t}, about {n} words, in the first person.
            | I would like a quiet, funny tale about {t}; {n} words is enough.
            | Write a bedtime story of {n} words about {t}.
            | Create a mystery about {t} in approximately {n} words, with plenty of dialogue."""),
        _list("""a lighthouse keeper who learns to swim | two sisters who inherit a bakery | a postman who loses a letter
            | a dog that waits at a station
            | a clock that runs backwards | a girl who draws maps of dreams | the last passenger on a ferry
            | a retired teacher and a noisy parrot
            | a village without mirrors | an apprentice in a violin workshop | a storm that stays for a year | a boy who befriends a heron
            | a train that stops in a field of snow | three friends and a borrowed boat | a gardener who talks to the wind
            | a baker who forgets how to sleep
            | an astronaut who misses the rain | a lost glove that finds its owner | the night shift at a planetarium
            | a market where nobody uses money
            | a tailor with one secret customer | an island that moves every winter | a chess game by post
            | the cat who ran the hotel"""),
        _list("a librarian who finds a hidden door | an old fisherman and his radio | a piano left in the forest"),
    ),
    Genre(
        "Functional Writing",
        _list("""Write a letter {t}. Make it polite and about {n} words long.
            | Draft a formal email {t}, {n} words.
            | Help me write a {n}-word letter {t}."""),
        _list("""to a landlord about a broken heater | to a school about a lost coat | to a neighbour about a shared fence
            | to an old friend after ten silent years | to a hotel about a forgotten suitcase | to a mayor about a dark street
            | to a bookshop with thanks for good advice | to a team about new working hours | to a museum about a school visit
            | to a bank about a wrong charge | to a gym about ending a membership | to a grandmother from the seaside
            | to a publisher about a first novel | to parents about a class trip | to a client about a late delivery
            | to a choir about a lost songbook"""),
        _list("""to a dentist about a missed appointment | to a railway company about a cold train
            | to a caretaker with thanks for a new bench"""),
    ),
    Genre(
        "Community Forum",
        _list("""Write a speech of about {n} words {t}.
            | My sister has to speak {t}. Please write her {n} words.
            | Prepare a {n}-word talk {t}, easy to say out loud."""),
        _list("""for the opening of a community garden | for a friend's wedding | for the farewell of a beloved teacher
            | for a prize-giving at a running club | for the first day of a new school year | for a neighbour's seventieth birthday
            | for the launch of a repair café | for a meeting of worried parents | for the thanksgiving of a fire brigade
            | for the anniversary of a small theatre | for a charity swim | for the end of an apprenticeship"""),
        _list("for the start of a chess club | for the retirement of a bus driver"),
    ),
)

CHINESE = (
    Genre(
        "Popular Science",
        _list("""写一篇关于{t}的文章，{n}字左右。
            | 请以“{t}”为题写一篇{n}字的科普文。
            | 帮我写一篇介绍{t}的公众号推文，大约{n}字，语气亲切一点。
            | 给初中生讲讲{t}，{n}字左右，要通俗易懂。
            | 我想了解{t}，请写{n}字，要有开头和结尾。
            | 围绕{t}写一篇散文，篇幅{n}字。
            | 请为社区小报写一篇{t}的专栏，{n}字。
            | 写一份{t}的新手指南，不少于{n}字。
            | 谈谈{t}，字数要求：{n}字。
            | 以{t}为主题，写一篇{n}字的随笔。"""),
        _list("""阳台种菜 | 手工做豆腐 | 修理旧自行车 | 老茶馆的变迁 | 学拉二胡 | 油纸伞的历史 | 城市公园里的鸟 | 冲泡绿茶 | 缝补旧衣服
            | 步行上班
            | 钟表匠的手艺 | 养一缸金鱼 | 坐夜车旅行 | 刺猬的习性 | 晒干香草 | 学画水彩 | 铅笔的发明 | 夏天怎样睡好觉 | 写家庭日记
            | 挑选望远镜
            | 自制手工皂 | 候鸟的迁徙 | 筹办街坊聚会 | 明信片的故事 | 训练胆小的狗 | 冬泳的乐趣 | 翻新木椅 | 看懂纸质地图 | 灯塔的历史
            | 收集雨水浇花
            | 一周的家常菜 | 折纸艺术 | 铁路边的生活 | 种一排树篱 | 肥皂泡的科学 | 留种与播种 | 雨天骑车 | 公共图书馆的兴起 | 冬天照顾绿植
            | 家庭酿米酒
            | 山里的天气 | 学习手语 | 手写书信 | 玩具图书馆 | 垒石墙的技术 | 安全采蘑菇 | 巧克力的来历 | 记录祖辈的故事 | 邻里共享工具
            | 腌制泡菜"""),
        _list("石拱桥的历史 | 在家养蚕 | 制作蜂蜡蜡烛 | 城市里的松鼠"),
    ),
    Genre(
        "News Report",
        _list("""写一篇关于{t}的新闻报道，{n}字。
            | 你是一名地方报记者，请就{t}写一篇{n}字的稿件。
            | 请为社区会议起草一份{t}的情况报告，约{n}字。
            | 以{t}为题材写一篇通讯，篇幅{n}字左右。"""),
        _list("""运河步道建成 | 老面包店重新开张 | 公交司机短缺 | 菜市场进水 | 小学屋顶装上太阳能板 | 夏季庙会回归 | 最后一家老影院停业
            | 苹果大丰收
            | 通往医院的夜班车 | 退休工人开办修理铺 | 环城路的噪音问题 | 渔民救助搁浅海豚 | 图书馆楼顶的花园 | 车站附近房租上涨
            | 百年合唱团庆生 | 乡村小学的免费午餐"""),
        _list("海湾新渡轮启航 | 县城乐团重组"),
    ),
    Genre(
        "Academic and Monograph",
        _list("""写一篇{n}字左右的小论文，题目是《{t}》。
            | 请以“{t}”为题起草一份课程论文的引言，{n}字。
            | 综述学界对{t}的看法，{n}字，面向大一学生。
            | 就{t}写一份{n}字的研究报告提纲说明，观点要明确。"""),
        _list("""绿地与居民健康 | 儿童双语学习 | 小型农场的经济账 | 老年人的记忆 | 安全路口的设计 | 邻里之间的信任 | 校服与归属感
            | 开放办公室的噪声
            | 志愿服务的价值 | 城市如何应对高温 | 带薪休假的由来 | 音乐与专注力 | 地方报纸的衰落 | 家庭食物浪费 | 倒班工作与睡眠
            | 幼儿的游戏"""),
        _list("理发店的社会作用 | 教室的自然采光"),
    ),
    Genre(
        "Literature and Creative Writing",
        _list("""写一个关于{t}的短篇故事，{n}字左右。
            | 请讲一个{n}字的故事，主角是{t}，结尾要温暖。
            | 以{t}为线索写小说的第一章，{n}字，用第一人称。
            | 我想要一篇安静又有点好笑的故事，写{t}，{n}字就够。
            | 给孩子写一篇睡前故事，讲{t}，篇幅{n}字。
            | 创作一篇关于{t}的悬疑故事，约{n}字，多用对话。"""),
        _list("""学游泳的灯塔看守人 | 继承面包店的两姐妹 | 丢了一封信的邮差 | 在车站等人的狗 | 倒着走的钟 | 画梦境地图的女孩
            | 渡轮上最后一位乘客 | 退休教师和一只吵闹的鹦鹉
            | 没有镜子的村子 | 提琴作坊的学徒 | 下了一年的雨 | 和白鹭做朋友的男孩 | 停在雪地里的火车 | 三个朋友和一条借来的船
            | 与风说话的花匠 | 忘记睡觉的面包师
            | 想念雨水的宇航员 | 寻找主人的手套 | 天文馆的夜班 | 不用钱的集市 | 只有一位客人的裁缝 | 每年冬天移动的小岛 | 用书信下棋的人
            | 管理旅馆的猫"""),
        _list("发现暗门的图书管理员 | 老渔夫和他的收音机 | 遗落在森林里的钢琴"),
    ),
    Genre(
        "Functional Writing",
        _list("""请写一封{t}的信，语气礼貌，{n}字左右。
            | 帮我起草一封{t}的正式邮件，{n}字。
            | 我需要一封{t}的书信，大约{n}字。"""),
        _list("""请房东修暖气 | 向学校询问丢失外套 | 与邻居商量围栏 | 写给十年未见的老友 | 向旅馆寻找行李箱 | 向市长反映路灯太暗
            | 感谢书店店员 | 通知团队新的上班时间 | 联系博物馆参观 | 向银行核对扣款 | 取消健身卡 | 在海边写给奶奶
            | 向出版社推荐处女作 | 告知家长班级春游 | 向客户说明延期交货 | 向合唱团寻找歌谱"""),
        _list("向牙医致歉失约 | 向铁路部门反映车厢太冷 | 感谢管理员新添长椅"),
    ),
    Genre(
        "Community Forum",
        _list("""写一篇{t}的发言稿，{n}字左右。
            | 我姐姐要在{t}上讲话，请替她写{n}字。
            | 准备一段{t}的演讲，{n}字，要朗朗上口。"""),
        _list("""社区花园开放仪式 | 好友婚礼 | 老师荣休告别会 | 跑步俱乐部颁奖会 | 新学年开学典礼 | 邻居七十大寿
            | 修理咖啡馆开业 | 家长座谈会 | 消防队答谢会 | 小剧场周年庆 | 慈善游泳活动 | 学徒出师礼"""),
        _list("象棋社成立会 | 公交司机退休欢送会"),
    ),
)

GENRES: dict[Language, tuple[Genre, ...]] = {"en": ENGLISH, "zh": CHINESE}
